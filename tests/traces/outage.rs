//! There is no collector where there should be one.

use harness::{Deployment, eventually, http};
use std::net::SocketAddr;
use std::time::Duration;

/// Longest that an idle process may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How many spans a process has lost.
async fn lost(ops: SocketAddr) -> Option<u64> {
    let metrics = http::get(ops, "/metrics").await?.text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("astral_trace_spans_total{outcome=\"lost\"} "));
    line?.parse().ok()
}

/// Goal: what only looks on harms nothing. Method: the collector's port is closed; a service works, says so once, and
/// ends in time and well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_one_line_and_delays_no_exit() {
    let mut deployment = Deployment::start_traced(1, "http://127.0.0.1:1").await;
    let gateway = deployment.gateway();
    let line = "the trace collector does not accept spans; they are lost";
    let directory = deployment.program("directory-1");
    eventually("it is told that spans are lost", || async {
        gateway.get("/v1/streams").await?;
        (directory.count_logged(line) > 0).then_some(())
    })
    .await;
    let ops = directory.door("ops");
    let before = lost(ops).await.expect("they are counted");
    eventually("more is lost", || async {
        assert_eq!(gateway.get("/v1/streams").await?.status, 200);
        (lost(ops).await? > before + 20).then_some(())
    })
    .await;
    assert_eq!(directory.count_logged(line), 1);
    let stopped = directory.terminate().await;
    assert_eq!(stopped.code, Some(0));
    assert!(stopped.took < ENDS_WITHIN, "{stopped:?}");
}
