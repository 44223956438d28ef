//! Every query of the dashboard and every rule, by a real Prometheus over a network that runs.

use crate::live::Live;
use crate::of_repository;
use crate::prometheus::Prometheus;
use harness::eventually;
use serde_json::Value;
use std::process::Command;

/// Where the files are.
const FOLDER: &str = "deploy/observability";

fn dashboard() -> Value {
    let text = std::fs::read_to_string(of_repository(FOLDER).join("network.json"))
        .expect("there is a dashboard");
    serde_json::from_str(&text).expect("a dashboard is JSON")
}

/// The queries of every panel, with the panel's title.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in dashboard["panels"]
        .as_array()
        .expect("a dashboard has panels")
    {
        let title = panel["title"].as_str().expect("a panel has a title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("a target has a query");
            queries.push((
                title.to_owned(),
                expression.replace("$__rate_interval", "1m"),
            ));
        }
    }
    queries
}

/// Goal: nobody looks at an empty panel in an outage. Method: a network runs, a relay of it dies, and Prometheus answers
/// each query of the dashboard with something, and evaluates each rule without an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_shows_something_and_every_rule_is_evaluated() {
    let mut live = Live::start().await;
    let targets = live.deployment.ops();
    let prometheus =
        Prometheus::start(&targets, &of_repository(FOLDER).join("astral.rules.yml")).await;
    eventually("every process is scraped", || async {
        let up = prometheus.query("sum(up)").await?;
        (up.first()?["value"][1].as_str()? == targets.len().to_string()).then_some(())
    })
    .await;
    let queries = queries(&dashboard());
    for (title, query) in &queries {
        shows_no_nan(&prometheus, title, query).await;
    }
    live.fail_over().await;
    assert!(queries.len() > 30, "only {} queries", queries.len());
    for (title, query) in queries {
        let what = format!("{title} shows a number: {query}");
        eventually(&what, || async {
            prometheus
                .query(&query)
                .await
                .filter(|found| !found.is_empty())
        })
        .await;
        shows_no_nan(&prometheus, &title, &query).await;
    }
    let rules = eventually("every rule is evaluated", || async {
        let rules = prometheus.rules().await.filter(|rules| !rules.is_empty())?;
        rules
            .iter()
            .all(|rule| rule["health"] != "unknown")
            .then_some(rules)
    });
    for rule in rules.await {
        assert_eq!(rule["health"], "ok", "{rule}");
        prometheus
            .query(rule["query"].as_str().expect("a rule has a query"))
            .await
            .expect("it is answered");
        check_annotations(&rule);
    }
    eventually("the node that died raises its alert", || async {
        let query = "ALERTS{alertname=\"AstralNodeLost\"}";
        prometheus
            .query(query)
            .await
            .filter(|found| !found.is_empty())
    })
    .await;
}

/// Goal: a promise that is broken is told. Method: frames do not flow for more than 1.5 s, for the first time in the
/// life of the relay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_failover_that_takes_too_long_raises_its_alert() {
    let mut live = Live::start().await;
    live.deployment.program("middle").kill();
    let targets = live.deployment.ops();
    let prometheus =
        Prometheus::start(&targets, &of_repository(FOLDER).join("astral.rules.yml")).await;
    let firing = "ALERTS{alertname=\"AstralFailoverGapHigh\"}";
    eventually("every process is scraped", || async {
        let up = prometheus.query("sum(up)").await?;
        (up.first()?["value"][1].as_str()? == targets.len().to_string()).then_some(())
    })
    .await;
    assert!(
        prometheus
            .query(firing)
            .await
            .expect("Prometheus answers")
            .is_empty()
    );
    live.stall(5).await;
    eventually("the alert fires", || async {
        prometheus
            .query(firing)
            .await
            .filter(|found| !found.is_empty())
    })
    .await;
}

/// NaN is what a quotient of nothing by nothing gives: a panel that shows it shows nothing.
async fn shows_no_nan(prometheus: &Prometheus, title: &str, query: &str) {
    let found = prometheus.query(query).await.expect("Prometheus answers");
    let is_nan = |series: &&Value| series["value"][1] == "NaN";
    let nan: Vec<_> = found
        .iter()
        .filter(is_nan)
        .map(|series| &series["metric"])
        .collect();
    assert!(nan.is_empty(), "{title} shows NaN for {nan:?}: {query}");
}

/// An alert says what is wrong, and where it stands what to do.
fn check_annotations(rule: &Value) {
    let name = rule["name"].as_str().expect("an alert has a name");
    let words = name
        .strip_prefix("Astral")
        .expect("alerts are named after Astral");
    let kebab: String = words
        .chars()
        .flat_map(|letter| {
            let dash = letter.is_uppercase().then_some('-');
            dash.into_iter().chain(letter.to_lowercase())
        })
        .collect();
    assert_eq!(
        rule["annotations"]["runbook"],
        format!("docs/operations.md#alert{kebab}")
    );
    let page = std::fs::read_to_string(of_repository("docs/operations.md"))
        .expect("there is a page for operators");
    assert!(
        page.contains(&format!("<a id=\"alert{kebab}\">")),
        "nothing says what to do about {name}"
    );
    assert!(
        !rule["annotations"]["summary"]
            .as_str()
            .unwrap_or_default()
            .is_empty(),
        "{name} has a summary"
    );
    assert!(
        ["page", "ticket"].contains(&rule["labels"]["severity"].as_str().unwrap_or_default()),
        "{name}"
    );
}

#[test]
fn prometheus_takes_its_configuration_and_rules() {
    for (what, file) in [("rules", "astral.rules.yml"), ("config", "prometheus.yml")] {
        let checked = Command::new("promtool")
            .args(["check", what, file])
            .current_dir(of_repository(FOLDER))
            .output();
        let checked = checked.expect("promtool starts; `make setup` installs it");
        assert!(
            checked.status.success(),
            "{file}: {}",
            String::from_utf8_lossy(&checked.stderr)
        );
    }
}

#[test]
fn panels_have_ids_and_places_of_their_own() {
    let dashboard = dashboard();
    let panels = dashboard["panels"]
        .as_array()
        .expect("a dashboard has panels");
    let mut ids: Vec<_> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().expect("a number"))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let place = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        assert!(
            place("x") + place("w") <= 24,
            "{} is on the page",
            panel["title"]
        );
    }
}
