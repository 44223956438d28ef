//! One operation of the API. Routing, rights and documents follow from it.

use crate::answer::Answer;
use crate::call::{Body, Call, FromPath, Incoming, Query};
use crate::change::Change;
use crate::error::Error;
use crate::rights::{ANYONE, Caller, Who};
use futures_util::future::BoxFuture;
use http::Method;
use schemars::{Schema, SchemaGenerator};
use std::future::Future;
use warp::reply::Response;

/// One method of one resource.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// The path: `{name}` is a variable part, `{name*}` is all that follows.
    pub(crate) path: &'static str,
    pub(crate) who: Who,
    /// Its name in documents. Empty if it is not part of the API.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    /// Whether programs call it all the time, so that the log leaves it out.
    is_routine: bool,
    /// The schemas of its types, for documents.
    pub(crate) shape: fn(&mut SchemaGenerator) -> Shape,
    handler: Handler,
}

/// The change and its outcome, or why the request could not be read.
type Handled = Result<(Change, Result<Response, Error>), Error>;
type Handler =
    Box<dyn Fn(Incoming, Vec<String>, Caller) -> BoxFuture<'static, Handled> + Send + Sync>;

/// What an operation accepts and returns.
pub(crate) struct Shape {
    pub(crate) parameters: Vec<Schema>,
    pub(crate) query: Schema,
    pub(crate) body: Option<(&'static str, Schema)>,
    pub(crate) body_bytes_max: usize,
    pub(crate) status: u16,
    pub(crate) content: Option<(&'static str, Schema)>,
}

impl Operation {
    /// An operation that calls `handler` on `method` of `path`. The types of the handler define
    /// what it accepts and returns.
    pub(crate) fn new<P, Q, B, A, E, F, Fut>(
        method: Method,
        path: &'static str,
        who: Who,
        handler: F,
    ) -> Self
    where
        P: FromPath,
        Q: Query,
        B: Body,
        A: Answer,
        F: Fn(Call<P, Q, B>) -> Fut + Copy + Send + Sync + 'static,
        E: Into<Error> + Send + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
    {
        let handler: Handler = Box::new(move |incoming, parts, caller| {
            Box::pin(async move {
                let change = Change::of(&incoming, &caller);
                let call = Call::read(incoming, &parts, caller).await?;
                let change = change.with(&call);
                let answered = handler(call)
                    .await
                    .map(Answer::into_response)
                    .map_err(Into::into);
                Ok((change, answered))
            })
        });
        Self {
            method,
            path,
            who,
            id: "",
            summary: "",
            is_routine: false,
            shape: shape::<P, Q, B, A>,
            handler,
        }
    }

    /// Names it for documents.
    pub(crate) fn documented(self, id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            ..self
        }
    }

    /// Removes it from the API document.
    pub(crate) fn undocumented(self) -> Self {
        Self { id: "", ..self }
    }

    /// Whether pages of any origin may read it, because anyone may.
    pub(crate) fn is_open(&self) -> bool {
        self.who == ANYONE && self.method == Method::GET
    }

    /// Leaves it out of the log of changes, because programs call it all the time.
    pub(crate) fn routine(self) -> Self {
        Self {
            is_routine: true,
            ..self
        }
    }

    /// Whether it is part of the API.
    pub(crate) fn is_documented(&self) -> bool {
        !self.id.is_empty()
    }

    /// Returns the variable parts of `path`, None if this is another resource.
    pub(crate) fn matches(&self, path: &str) -> Option<Vec<String>> {
        parts(self.path, path)
    }

    /// Whether it answers `method`. HEAD counts as GET.
    pub(crate) fn answers(&self, method: &Method) -> bool {
        self.method == *method || (self.method == Method::GET && *method == Method::HEAD)
    }

    /// Reads the request, calls the handler and returns its answer.
    pub(crate) async fn handle(
        &self,
        incoming: Incoming,
        parts: Vec<String>,
        caller: Caller,
    ) -> Result<Response, Error> {
        let (change, answered) = (self.handler)(incoming, parts, caller).await?;
        if !self.method.is_safe() && !self.is_routine {
            change.log(self.id, answered.as_ref().err());
        }
        answered
    }
}

/// Returns the parts of `path` that are variable in `template`, None if the path does not match.
pub(crate) fn parts(template: &str, path: &str) -> Option<Vec<String>> {
    let mut given = path.trim_start_matches('/').split('/');
    let mut parts = Vec::new();
    for wanted in template.trim_start_matches('/').split('/') {
        let part = given.next()?;
        if wanted.ends_with("*}") {
            parts.push(given.fold(part.to_owned(), |all, part| all + "/" + part));
            return Some(parts);
        }
        if wanted.starts_with('{') && !part.is_empty() {
            parts.push(part.to_owned());
        } else if wanted != part {
            return None;
        }
    }
    given.all(str::is_empty).then_some(parts)
}

fn shape<P: FromPath, Q: Query, B: Body, A: Answer>(generator: &mut SchemaGenerator) -> Shape {
    Shape {
        parameters: P::schemas(generator),
        query: Q::json_schema(generator),
        body: B::content(generator),
        body_bytes_max: B::BYTES_MAX,
        status: A::STATUS,
        content: A::content(generator),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_taken_apart_by_its_template() {
        for (template, path, parts) in [
            ("/v1/streams", "/v1/streams", Some(vec![])),
            ("/v1/streams", "/v1/streams/", Some(vec![])),
            ("/v1/streams/{slug}", "/v1/streams/demo", Some(vec!["demo"])),
            ("/v1/streams/{slug}", "/v1/streams/", None),
            ("/v1/streams/{slug}", "/v1/streams/demo/tree", None),
            (
                "/v1/streams/{slug}/tree",
                "/v1/streams/demo/tree",
                Some(vec!["demo"]),
            ),
            (
                "/live/{path*}",
                "/live/demo/index.m3u8",
                Some(vec!["demo/index.m3u8"]),
            ),
            ("/live/{path*}", "/live/", Some(vec![""])),
            ("/live/{path*}", "/live", None),
            ("/", "/", Some(vec![])),
            ("/", "/v1", None),
        ] {
            let parts = parts.map(|parts| parts.iter().map(|part| (*part).to_owned()).collect());
            assert_eq!(super::parts(template, path), parts, "{template} {path}");
        }
    }
}
