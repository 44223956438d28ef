//! One request on the media listener.

use super::trace::TARGET;
use crate::http::Request;
use astral_proto::{NodeId, Problem, Slug};
use opentelemetry::global;
use std::future::Future;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A request on the media listener, from its head until its answer is sent; until it begins, if it
/// is endless.
pub struct Exchange {
    span: Span,
    started: Instant,
    method: &'static str,
    route: &'static str,
}

impl Exchange {
    /// Starts the span of `request`; `route` is the pattern of its path.
    pub fn start(
        node: NodeId,
        request: &Request,
        route: &'static str,
        slug: Option<&Slug>,
    ) -> Self {
        let method = known_method(&request.method);
        let span = tracing::debug_span!(
            target: TARGET,
            parent: None,
            "http",
            otel.name = %format_args!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
            url.path = request.path,
            url.scheme = "http",
            error.type = Empty,
            node.id = %node,
            stream.slug = slug.map(Slug::as_str),
            subscriber.id = Empty,
            stream.hops = Empty,
        );
        if !request.trace.is_empty() {
            let context =
                global::get_text_map_propagator(|propagator| propagator.extract(&request.trace));
            drop(span.set_parent(context));
        }
        Self {
            span,
            started: Instant::now(),
            method,
            route,
        }
    }

    /// Runs `work` within its span.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        work.instrument(self.span.clone()).await
    }

    /// Calls `work` within its span.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        self.span.in_scope(work)
    }

    /// Notes who pulls over a relay link, and how far this relay is from the origin.
    pub fn link(&self, subscriber: NodeId, hops: usize) {
        self.span
            .record("subscriber.id", tracing::field::display(subscriber));
        self.span.record("stream.hops", hops as i64);
    }

    /// Its answer is being sent.
    pub fn answered(self, status: u16) {
        self.ended(status, "none");
    }

    /// It was refused for `problem`, and the answer is being sent.
    pub fn refused(self, status: u16, problem: &Problem) {
        self.ended(status, problem.code.as_str());
    }

    fn ended(self, status: u16, problem: &'static str) {
        self.span
            .record("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.span.record("error.type", status_text(status));
            self.span.record("otel.status_code", "ERROR");
        }
        let labels = [
            ("listener", "media"),
            ("method", self.method),
            ("route", self.route),
            ("status", status_text(status)),
            ("problem", problem),
        ];
        metrics::histogram!("astral_http_request_seconds", &labels).record(self.started.elapsed());
    }
}

/// Unknown methods share one label, because a client can invent any number of them.
fn known_method(method: &str) -> &'static str {
    match method {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

/// The statuses that this listener answers with.
fn status_text(status: u16) -> &'static str {
    match status {
        200 => "200",
        204 => "204",
        307 => "307",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        410 => "410",
        413 => "413",
        429 => "429",
        431 => "431",
        500 => "500",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use astral_proto::Code;

    #[test]
    fn every_status_that_a_problem_has_is_a_label() {
        for code in [
            Code::Unauthenticated,
            Code::Conflict,
            Code::Gone,
            Code::TooManyRequests,
            Code::Timeout,
        ] {
            let status = code.http_status();
            assert_eq!(status_text(status), status.to_string(), "{}", code.as_str());
        }
        assert_eq!(status_text(418), "other");
    }
}
