//! What happens rarely enough for a line in the log, and is counted.

use crate::failover_cause::FailoverCause;
use astral_media::publish::Warning;
use astral_proto::{Code, NodeId, Slug};
use astral_runtime::LogThrottle;
use std::time::Duration;

/// Registers every counter with the value 0. Prometheus sees no increase in a series that first
/// appears with 1, so the first event of each kind would be invisible.
pub fn register_counters() {
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

/// A pull leaves `provider` for `cause`.
pub fn provider_failed(slug: &Slug, provider: NodeId, cause: FailoverCause) {
    let cause = cause.as_str();
    tracing::info!(stream.slug = %slug, provider.id = %provider, failover.cause = cause, "provider failed, switching");
    metrics::counter!("astral_failovers_total", "cause" => cause).increment(1);
}

/// A failover is over: after `gap` without a frame, the first one has come from `provider`.
pub fn failed_over(
    slug: &Slug,
    cause: FailoverCause,
    left: NodeId,
    provider: NodeId,
    gap: Duration,
) {
    let cause = cause.as_str();
    tracing::info!(
        stream.slug = %slug, provider.id = %provider, provider.left = %left,
        failover.cause = cause, failover.gap_ms = gap.as_millis() as u64, "failed over"
    );
    metrics::histogram!("astral_failover_gap_seconds", "cause" => cause).record(gap);
}

/// A publisher was refused. `stream` is the name that it asked for, as far as that may be shown;
/// empty if it asked for none. An encoder tries again and again, so `refusals` decides when a line
/// is due.
pub fn publisher_refused(
    node: NodeId,
    refusals: &LogThrottle,
    stream: &str,
    reason: &'static str,
    detail: &str,
) {
    let what = format!("{stream} {reason}");
    if let Some(times) = refusals.occurred(&what) {
        tracing::info!(node.id = %node, stream.slug = stream, reason, detail, times, "publisher refused");
    }
}

/// The publisher of a stream was warned.
pub fn publisher_warned(node: NodeId, slug: &Slug, warning: &Warning) {
    let reason = warning.reason();
    tracing::warn!(node.id = %node, stream.slug = %slug, reason, detail = %warning, "publisher warned");
    metrics::counter!("astral_ingest_warnings_total", "reason" => reason).increment(1);
}
