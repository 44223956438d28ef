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
    assert!(tested.status.success(), "{}{said}", String::from_utf8_lossy(&tested.stdout));
}
