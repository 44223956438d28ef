//! Metrics: any crate counts through the `metrics` facade, and the ops listener serves them.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Upper bounds of the buckets of every histogram whose name ends in `_seconds`. A quantile between
/// two bounds is only an estimate, so each threshold of an alert must be a bound.
const SECONDS_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0,
];

/// A gauge that has not been set for this long is removed: what it measured, such as a stream, is
/// gone.
const GAUGE_IDLE: Duration = Duration::from_secs(60);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts recording, once in a program, and sets the gauges that identify the component.
pub(crate) fn start(component: &'static str) -> PrometheusHandle {
    let handle = RECORDER.get_or_init(install).clone();
    tell(component);
    handle
}

/// Sets the gauges that identify the component and its start time. Call it more often than
/// [`GAUGE_IDLE`].
pub(crate) fn tell(component: &'static str) {
    static START: OnceLock<SystemTime> = OnceLock::new();
    let start = START
        .get_or_init(SystemTime::now)
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    metrics::gauge!("astral_build_info", "component" => component, "version" => env!("CARGO_PKG_VERSION"))
        .set(1);
    metrics::gauge!("process_start_time_seconds").set(start.as_secs_f64());
}

fn install() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
        .expect("there are buckets")
        .idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_IDLE))
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("metrics are not served: another recorder is set in this program");
    }
    handle
}
