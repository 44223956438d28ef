//! Metrics: any crate counts through the `metrics` facade, the ops listener shows them.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Upper bounds of the buckets of every histogram whose name ends in `_seconds`.
const SECONDS_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts recording, once in a program, and states which component this is and since when it runs.
pub(crate) fn start(component: &'static str) -> PrometheusHandle {
    let handle = RECORDER.get_or_init(install).clone();
    metrics::gauge!("astral_build_info", "component" => component, "version" => env!("CARGO_PKG_VERSION"))
        .set(1);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("process_start_time_seconds").set(since_epoch.as_secs_f64());
    handle
}

fn install() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
        .expect("there are buckets")
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("metrics go elsewhere: this program has set another recorder");
    }
    handle
}
