//! Finds the operation for a request and checks that the caller may call it.

use crate::api::OPERATIONS;
use crate::call::Incoming;
use crate::error::{Error, shown};
use crate::gateway::Gateway;
use crate::headers;
use crate::operation::Operation;
use crate::rights;
use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, Method};
use std::{convert::Infallible, sync::Arc};
use warp::path::FullPath;
use warp::reply::Response;
use warp::ws::Ws;
use warp::{Filter, Rejection};

/// Every route of the gateway. Errors are answered with a problem document.
pub(crate) fn all(
    gateway: Arc<Gateway>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    warp::method()
        .and(warp::path::full())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(warp::ws().map(Some).or(warp::any().map(|| None)).unify())
        .and(warp::body::stream())
        .and(warp::any().map(move || gateway.clone()))
        .map(incoming)
        .then(answer)
        .recover(not_routed)
        .unify()
}

async fn not_routed(rejection: Rejection) -> Result<Response, Infallible> {
    tracing::error!(?rejection, "a warp filter rejected a request");
    Ok(Error::NotRouted.into_response())
}

fn incoming<B: Buf>(
    method: Method,
    path: FullPath,
    query: String,
    headers: HeaderMap,
    socket: Option<Ws>,
    body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
    gateway: Arc<Gateway>,
) -> Incoming {
    let pieces = body
        .map(|piece| piece.map(|mut piece| piece.copy_to_bytes(piece.remaining())))
        .boxed();
    Incoming {
        method,
        path: path.as_str().to_owned(),
        query,
        headers,
        socket,
        pieces,
        gateway,
    }
}

async fn answer(incoming: Incoming) -> Response {
    let matching = OPERATIONS.iter().filter_map(|operation| {
        operation
            .matches(&incoming.path)
            .map(|parts| (operation, parts))
    });
    let matching: Vec<_> = matching.collect();
    let open = matching
        .iter()
        .find(|(operation, _)| operation.answers(&incoming.method));
    if incoming.method == Method::OPTIONS
        && matching.iter().any(|(operation, _)| operation.is_open())
    {
        return headers::preflight();
    }
    let Some((operation, parts)) = open else {
        return headers::add(None, refuse(&incoming, &matching).into_response());
    };
    let response = handle(operation, parts.clone(), incoming).await;
    headers::add(
        Some(operation),
        response.unwrap_or_else(Error::into_response),
    )
}

async fn handle(
    operation: &Operation,
    parts: Vec<String>,
    incoming: Incoming,
) -> Result<Response, Error> {
    let caller = rights::caller(
        incoming.gateway.tokens.as_deref(),
        operation.who,
        &incoming.headers,
    )?;
    if !incoming.method.is_safe() || incoming.socket.is_some() {
        rights::check_origin(&incoming.headers)?;
    }
    operation.handle(incoming, parts, caller).await
}

/// The error where no operation matches: another method exists for the path, or nothing does.
fn refuse(incoming: &Incoming, matching: &[(&Operation, Vec<String>)]) -> Error {
    if matching.is_empty() {
        return Error::NoSuchPath {
            path: shown(&incoming.path),
        };
    }
    let methods = matching
        .iter()
        .map(|(operation, _)| match operation.method {
            Method::GET => "GET, HEAD",
            ref method => method.as_str(),
        });
    Error::NoSuchMethod {
        allow: methods.collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests;
