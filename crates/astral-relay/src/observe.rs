//! How the relay's work is seen: spans that make one trace from a viewer to the origin, and metrics.
//!
//! A span lasts until a request is answered or an answer without end begins; none is made per frame.

mod episode;
mod ingest;
mod load;

use crate::core::Relay;
use crate::failover_cause::FailoverCause;
use crate::feed::pull::Failing;
use crate::http::Request;
use crate::rtmp::RtmpError;
use astral_media::publish::Warning;
use astral_proto::{Code, NodeId, Problem, Slug};
pub use episode::{Episode, Opening};
pub use ingest::IngestHealth;
pub use load::tell;
use opentelemetry::{Context, global};
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of spans that make traces, wherever they are made.
const TARGET: &str = "astral_trace";

/// The trace context of this very moment, as header fields.
pub fn context_fields(span: &Span) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let context = span.context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut fields));
    // A field without a value says nothing.
    fields.retain(|_, value| !value.is_empty());
    fields
}

/// `span`, as a child of what `context` belongs to. Unlike a child by nesting, it does not keep its parent open.
fn child(context: Context, span: Span) -> Span {
    // Fails where nothing is traced.
    drop(span.set_parent(context));
    span
}

/// A request on the media listener, from its head until its answer has been sent, or has begun if it has no end.
pub struct Exchange {
    span: Span,
    started: Instant,
    method: &'static str,
    route: &'static str,
}

impl Exchange {
    /// `request` has come; `route` is its path without what varies in it.
    pub fn begun(
        relay: &Relay,
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
            node.id = %relay.node(),
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

    /// Runs `work` as part of it.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        work.instrument(self.span.clone()).await
    }

    /// Calls `work` as part of it.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        self.span.in_scope(work)
    }

    /// A relay link: who pulls, and how far from the origin this relay is.
    pub fn link(&self, subscriber: NodeId, hops: usize) {
        self.span
            .record("subscriber.id", tracing::field::display(subscriber));
        self.span.record("stream.hops", hops as i64);
    }

    /// Its answer is on its way.
    pub fn answered(self, status: u16) {
        self.ended(status, "none");
    }

    /// It was turned away because of `problem`, and the answer is on its way.
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

/// Methods that are no more than a word of a client's are one.
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

/// Runs `work`, which answers the RTMP `command` for a stream: a span of its own, and a count by outcome.
pub async fn rtmp<T>(
    relay: &Relay,
    command: &'static str,
    slug: Option<&Slug>,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let span = tracing::debug_span!(
        target: TARGET,
        parent: None,
        "rtmp",
        otel.name = %format_args!("rtmp {command}"),
        otel.kind = "server",
        otel.status_code = Empty,
        network.protocol.name = "rtmp",
        rpc.method = command,
        error.type = Empty,
        node.id = %relay.node(),
        stream.slug = slug.map(Slug::as_str),
    );
    let started = Instant::now();
    let result = work.instrument(span.clone()).await;
    let code = result
        .as_ref()
        .err()
        .map_or("ok", |problem| problem.code.as_str());
    if code != "ok" {
        span.record("error.type", code);
    }
    metrics::histogram!("astral_rtmp_request_seconds", "command" => command, "code" => code)
        .record(started.elapsed());
    result
}

/// Registers what the relay counts with the value 0. A series that first appears with 1 is no increase to Prometheus,
/// so the first event of each kind would be invisible.
pub fn begin() {
    for cause in FailoverCause::ALL {
        metrics::counter!("astral_failovers_total", "cause" => cause.as_str()).increment(0);
        let _registered =
            metrics::histogram!("astral_failover_gap_seconds", "cause" => cause.as_str());
    }
    for code in Code::ALL {
        metrics::counter!("astral_links_refused_total", "code" => code.as_str()).increment(0);
    }
    for reason in Warning::REASONS {
        metrics::counter!("astral_ingest_warnings_total", "reason" => reason).increment(0);
    }
    metrics::counter!("astral_viewer_gops_skipped_total").increment(0);
    metrics::counter!("astral_viewers_cut_total").increment(0);
}

/// `provider` is left because of `cause`.
pub fn provider_failed(slug: &Slug, provider: NodeId, cause: FailoverCause) {
    let cause = cause.as_str();
    tracing::info!(stream.slug = %slug, provider.id = %provider, failover.cause = cause, "provider failed, switching");
    metrics::counter!("astral_failovers_total", "cause" => cause).increment(1);
}

/// The first frame after `failing` has come from `provider`; `gap` is the time without a frame.
pub fn failed_over(slug: &Slug, failing: &Failing, provider: NodeId, gap: Duration) {
    let cause = failing.cause.as_str();
    tracing::info!(
        stream.slug = %slug, provider.id = %provider, provider.left = %failing.left,
        failover.cause = cause, failover.gap_ms = gap.as_millis() as u64, "failed over"
    );
    metrics::histogram!("astral_failover_gap_seconds", "cause" => cause).record(gap);
}

/// A publisher of the stream shown as `stream` was refused; empty if it named none.
pub fn publisher_refused(relay: &Relay, stream: &str, error: &RtmpError) {
    let reason = error.reason();
    // An encoder tries again and again.
    let Some(times) = relay.refusals().occurred(&format!("{stream} {reason}")) else {
        return;
    };
    let detail = error.description();
    tracing::info!(node.id = %relay.node(), stream.slug = stream, reason, detail, times, "publisher refused");
}

/// The publisher of a stream was warned.
pub fn publisher_warned(relay: &Relay, slug: &Slug, warning: &Warning) {
    let reason = warning.reason();
    tracing::warn!(node.id = %relay.node(), stream.slug = %slug, reason, detail = %warning, "publisher warned");
    metrics::counter!("astral_ingest_warnings_total", "reason" => reason).increment(1);
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
