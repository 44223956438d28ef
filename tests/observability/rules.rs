//! The alerts, by Prometheus' own test of rules: which series make them fire.

use crate::of_repository;
use std::process::Command;

/// Goal: each alert fires when it should, and not otherwise. Method: `promtool` evaluates the rules over the series in
/// `astral.rules.test.yml`.
#[test]
fn alerts_fire_for_the_series_that_they_are_for() {
    let tested = Command::new("promtool")
        .args(["test", "rules"])
        .arg(of_repository("deploy/observability/astral.rules.test.yml"))
        .output()
        .expect("promtool starts; `make setup` installs it");
    let said = String::from_utf8_lossy(&tested.stderr);
    assert!(
        tested.status.success(),
        "{}{said}",
        String::from_utf8_lossy(&tested.stdout)
    );
}

/// The files that tell a Prometheus of Astral's processes.
const SCRAPES: [&str; 3] = [
    "deploy/compose/prometheus.yml",
    "deploy/observability/prometheus.yml",
    "deploy/observability/prometheus-kubernetes.yml",
];
/// The Prometheus operator takes the job from this label of the pods.
const JOB_LABEL: &str = "jobLabel: app.kubernetes.io/part-of";
const POD_LABEL: &str = "app.kubernetes.io/part-of: ";

fn read(path: &str) -> String {
    std::fs::read_to_string(of_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words after `key` in `text`.
fn values(text: &str, key: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| Some(line.split_once(key)?.1.trim().to_owned()))
        .collect()
}

/// Goal: `AstralProcessDown` watches every process, however it is scraped. Method: each job that our files and charts set
/// is one of those for which `promtool` tests the alert.
#[test]
fn every_job_that_scrapes_astral_is_watched() {
    let monitor = read("charts/astral-library/templates/_component.tpl");
    assert!(
        monitor.contains(JOB_LABEL),
        "without it the job is NAMESPACE/PODMONITOR, which no rule can know"
    );
    let mut jobs = values(
        &read("charts/astral-library/templates/_names.tpl"),
        POD_LABEL,
    );
    jobs.extend(
        SCRAPES
            .iter()
            .flat_map(|path| values(&read(path), "job_name: ")),
    );
    assert!(jobs.len() > SCRAPES.len(), "jobs are {jobs:?}");
    let tested = read("deploy/observability/astral.rules.test.yml");
    for job in jobs {
        assert!(
            tested.contains(&format!("series: up{{job=\"{job}\"")),
            "the alert is not tested for {job}"
        );
    }
}
