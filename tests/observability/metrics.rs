//! The page on metrics against what is there.

use crate::exposition::{self, Metric};
use crate::live::Live;
use crate::of_repository;
use harness::{eventually, http};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What the page says, and whether it must be there at any time.
fn documented() -> BTreeMap<String, (Metric, bool)> {
    let page = std::fs::read_to_string(of_repository("docs/metrics.md")).expect("there is a page on metrics");
    let mut metrics = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, shown, meaning] = cells[..] else { panic!("not five cells: {line}") };
        assert!(!meaning.is_empty(), "{name} means something");
        assert!(["always", "once"].contains(&shown), "{name} is shown {shown}");
        let plain = |text: &str| text.trim_matches('`').to_owned();
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(plain).collect();
        let metric = Metric { kind: kind.to_owned(), labels };
        assert_eq!(metrics.insert(plain(name), (metric, shown == "always")), None, "{name} stands twice");
    }
    metrics
}

async fn shown(ops: &[SocketAddr]) -> Option<BTreeMap<String, Metric>> {
    let mut metrics = BTreeMap::new();
    for ops in ops {
        exposition::read(&http::get(*ops, "/metrics").await?.text(), &mut metrics);
    }
    Some(metrics)
}

/// Goal: the page can be trusted. Method: a network runs in which there was a failover; what it shows must stand on the
/// page with its kind and labels, and what the page says is always there must be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_metrics_says_what_a_running_network_shows() {
    let documented = documented();
    let mut live = Live::start().await;
    live.fail_over().await;
    let ops = live.deployment.ops();
    eventually("all that is always there is shown", || async {
        let shown = shown(&ops).await?;
        let missing = documented.iter().filter(|(name, (_, always))| *always && !shown.contains_key(*name));
        let missing: Vec<_> = missing.map(|(name, _)| name).collect();
        if !missing.is_empty() {
            println!("not yet: {missing:?}");
        }
        missing.is_empty().then_some(())
    })
    .await;
    let shown = shown(&ops).await.expect("every process shows its metrics");
    for (name, metric) in shown {
        let (said, _) = documented.get(&name).unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        assert_eq!(*said, metric, "{name}: the page, then what is shown");
    }
}
