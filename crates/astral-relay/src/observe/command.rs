//! One RTMP command.

use super::trace::TARGET;
use astral_proto::{NodeId, Problem, Slug};
use std::future::Future;
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

/// Runs `work`, which answers the RTMP `command` for a stream, in a span of its own. Counts it by
/// outcome.
pub async fn rtmp_command<T>(
    node: NodeId,
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
        node.id = %node,
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
