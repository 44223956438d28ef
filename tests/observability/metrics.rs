//! The page on metrics against what is there.

use crate::exposition::{self, Metric};
use crate::live::Live;
use crate::of_repository;
use astral_relay::FailoverCause;
use harness::{Deployment, eventually, http};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What the page says, and whether it must be there at any time.
fn documented() -> BTreeMap<String, (Metric, bool)> {
    let page = std::fs::read_to_string(of_repository("docs/metrics.md"))
        .expect("there is a page on metrics");
    let mut metrics = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, shown, meaning] = cells[..] else {
            panic!("not five cells: {line}")
        };
        assert!(!meaning.is_empty(), "{name} means something");
        assert!(
            ["always", "once"].contains(&shown),
            "{name} is shown {shown}"
        );
        let plain = |text: &str| text.trim_matches('`').to_owned();
        let labels = labels
            .split(", ")
            .filter(|label| !label.is_empty())
            .map(plain)
            .collect();
        let metric = Metric {
            kind: kind.to_owned(),
            labels,
        };
        assert_eq!(
            metrics.insert(plain(name), (metric, shown == "always")),
            None,
            "{name} stands twice"
        );
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

/// Goal: the first failover of each kind is an increase. Method: a relay has just started; each cause must be there with
/// the value 0, in the counter and in the histogram, and on the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cause_of_a_failover_is_there_with_zero_before_the_first_one() {
    let mut deployment = Deployment::start(1).await;
    let ops = deployment.add_relay("relay", "node", &[]).await.door("ops");
    let shown = http::get(ops, "/metrics")
        .await
        .expect("the relay shows its metrics")
        .text();
    let page = std::fs::read_to_string(of_repository("docs/metrics.md"))
        .expect("there is a page on metrics");
    assert!(FailoverCause::ALL.contains(&FailoverCause::TooFar));
    for cause in FailoverCause::ALL.iter().map(|cause| cause.as_str()) {
        for name in [
            "astral_failovers_total",
            "astral_failover_gap_seconds_count",
        ] {
            let line = format!("{name}{{cause=\"{cause}\"}} 0");
            assert!(
                shown.lines().any(|found| found == line),
                "{line} is missing"
            );
        }
        assert!(
            page.contains(&format!("\n| {cause} |")),
            "{cause} is not in docs/metrics.md"
        );
    }
}

/// Goal: the runbook leads to what is there. Method: each label value that it names of a failover is a cause.
#[test]
fn the_runbook_names_causes_and_labels_that_exist() {
    let page =
        std::fs::read_to_string(of_repository("docs/operations.md")).expect("a page for operators");
    let section = page
        .split("### AstralFailoversMany")
        .nth(1)
        .expect("the alert is explained");
    let section = section.split("<a id=").next().expect("it has an end");
    let causes: Vec<_> = FailoverCause::ALL
        .iter()
        .map(|cause| cause.as_str())
        .collect();
    let known = ["cause", "astral_failovers_total"];
    for word in section.split('`').skip(1).step_by(2) {
        assert!(
            causes.contains(&word) || known.contains(&word),
            "`{word}` is neither a label nor a cause"
        );
    }
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
        let missing = documented
            .iter()
            .filter(|(name, (_, always))| *always && !shown.contains_key(*name));
        let missing: Vec<_> = missing.map(|(name, _)| name).collect();
        if !missing.is_empty() {
            println!("not yet: {missing:?}");
        }
        missing.is_empty().then_some(())
    })
    .await;
    let shown = shown(&ops).await.expect("every process shows its metrics");
    for (name, metric) in shown {
        let (said, _) = documented
            .get(&name)
            .unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        assert_eq!(*said, metric, "{name}: the page, then what is shown");
    }
}
