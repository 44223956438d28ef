//! Observes requests: a span for each, in the trace of the caller if it has one, and a duration by
//! route and status.

use crate::api::OPERATIONS;
use crate::operation;
use astral_proto::Code;
use http::{HeaderMap, Request, Response};
use opentelemetry::global;
use std::collections::HashMap;
use tokio::time::Instant;
use tower::{Service, ServiceExt};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of spans that belong to traces, in all crates.
const TARGET: &str = "astral_trace";
/// The route label of paths that match nothing.
const ELSEWHERE: &str = "other";
/// Paths that players request have labels of their own. All other paths are labelled by the table
/// of operations.
const LIVE: &[&str] = &[
    "/live/{slug}",
    "/live/{slug}/index.m3u8",
    "/live/{slug}/media.m3u8",
    "/live/{slug}/{epoch}/{file}",
    "/live/{path*}",
];

/// Answers `request` with `service`, and observes it.
pub(crate) async fn answer<S, B, A>(
    service: S,
    request: Request<B>,
) -> Result<Response<A>, S::Error>
where
    S: Service<Request<B>, Response = Response<A>>,
{
    let method = method(request.method());
    let route = route(request.uri().path());
    let span = span(&request, method, route);
    let started = Instant::now();
    let answered = service.oneshot(request).instrument(span.clone()).await;
    let status = answered
        .as_ref()
        .map_or(500, |response| response.status().as_u16());
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.record("error.type", status.to_string());
        span.record("otel.status_code", "ERROR");
    }
    let problem = answered
        .as_ref()
        .ok()
        .and_then(|response| response.extensions().get::<Code>());
    let labels = [
        ("listener", metrics::SharedString::const_str("http")),
        ("method", metrics::SharedString::const_str(method)),
        ("route", metrics::SharedString::const_str(route)),
        (
            "status",
            metrics::SharedString::from_owned(status.to_string()),
        ),
        (
            "problem",
            metrics::SharedString::const_str(problem.map_or("none", |code| code.as_str())),
        ),
    ];
    metrics::histogram!("astral_http_request_seconds", &labels).record(started.elapsed());
    answered
}

fn span<B>(request: &Request<B>, method: &'static str, route: &'static str) -> Span {
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
        url.path = request.uri().path(),
        url.scheme = "http",
        error.type = Empty,
    );
    let trace = trace(request.headers());
    if !trace.is_empty() {
        let context = global::get_text_map_propagator(|propagator| propagator.extract(&trace));
        // Fails where traces are off.
        drop(span.set_parent(context));
    }
    span
}

/// The fields of the caller's trace context (W3C Trace Context).
fn trace(headers: &HeaderMap) -> HashMap<String, String> {
    let field = |name: &str| {
        Some((
            name.to_owned(),
            headers.get(name)?.to_str().ok()?.to_owned(),
        ))
    };
    ["traceparent", "tracestate"]
        .into_iter()
        .filter_map(field)
        .collect()
}

/// An unknown method is counted under one label, because the word comes from the client.
fn method(method: &http::Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
    known
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("_OTHER")
}

fn route(path: &str) -> &'static str {
    let live = LIVE.iter().copied();
    let mut routes = live.chain(OPERATIONS.iter().map(|operation| operation.path));
    routes
        .find(|route| operation::parts(route, path).is_some())
        .unwrap_or(ELSEWHERE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_named_without_what_varies_in_it() {
        for (path, expected) in [
            ("/", "/"),
            ("/v1/streams", "/v1/streams"),
            ("/v1/streams/demo", "/v1/streams/{slug}"),
            ("/v1/streams/demo/tree", "/v1/streams/{slug}/tree"),
            ("/v1/streams/", "/v1/streams"),
            ("/live/demo.flv", "/live/{slug}"),
            ("/live/demo/index.m3u8", "/live/{slug}/index.m3u8"),
            ("/live/demo/1/2/3.m4s", "/live/{path*}"),
            ("/live/demo/1/2.3.m4s", "/live/{slug}/{epoch}/{file}"),
            ("/v1/streams/demo/tree/more", "other"),
            ("/.env", "other"),
            ("/v1/nodes/7/requests", "/v1/nodes/{uuid}/requests"),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
