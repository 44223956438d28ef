//! Relays below relays: ordinary nodes, installed as a release of their own.

use crate::cluster::eventually;
use crate::network::{PATIENCE, RELAY, RELEASE, addresses, ask, serving, serving_in};
use crate::pods::Pod;
use crate::stage::{SLUG, Stage};
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeMap;

/// The release of the nodes.
pub const NODES: &str = "nodes";
const REPLICAS: usize = 4;
/// Fewer children for each supernode than there are nodes, so that two supernodes both have some.
pub const SEATS: &str = "supernode-coordinator.config.children-limit=3";
/// The pod of the viewers behind their Service.
pub const WATCHER_BELOW: &str = "kube-test-watch-below";

/// Installs relays that are no supernodes, and viewers behind their Service.
///
/// # Errors
/// If they do not come to see frames.
pub async fn install(stage: &Stage) -> anyhow::Result<()> {
    let chart = stage.args.chart.with_file_name(RELAY).display().to_string();
    let bus = format!("global.bus.url=nats://{RELEASE}-nats:4222");
    let replicas = format!("replicas={REPLICAS}");
    let own = ["install", NODES, &chart, "--wait", "--timeout", "3m"];
    // Small ones: a cluster for tests has few cores to promise.
    let small = "resources.requests.cpu=50m";
    let set = [
        "--set",
        &bus,
        "--set",
        &replicas,
        "--set",
        "config.role=node",
        "--set",
        small,
    ];
    let shared = stage
        .args
        .set
        .iter()
        .filter(|set| set.starts_with("global."));
    let shared: Vec<&str> = shared.flat_map(|set| ["--set", set]).collect();
    stage
        .cluster
        .helm(&[&own[..], &set, &shared].concat())
        .await?;
    stage
        .start_viewers(WATCHER_BELOW, &format!("{NODES}-{RELAY}:8081"))
        .await?;
    stage.is_watched(WATCHER_BELOW).await
}

/// Who stands between the origin and a node, and that node.
pub struct Between {
    pub above: String,
    pub node: Pod,
}

/// Looks for a supernode that is not the origin and feeds a node.
///
/// # Errors
/// If there comes to be none.
pub async fn between(stage: &Stage) -> anyhow::Result<Between> {
    let looks = || async {
        let addresses = addresses(&stage.cluster).await?;
        let tree = ask(&stage.cluster, &format!("/v1/streams/{SLUG}/tree")).await?;
        let relays = tree["relays"].as_array().context("a tree has relays")?;
        Ok(find(
            relays,
            &addresses,
            &serving(&stage.pods),
            &serving_in(&stage.pods, NODES),
        ))
    };
    eventually(
        "a supernode that is not the origin feeds a node",
        PATIENCE,
        looks,
    )
    .await
}

fn find(
    relays: &[Value],
    addresses: &BTreeMap<String, String>,
    supernodes: &BTreeMap<String, Pod>,
    nodes: &BTreeMap<String, Pod>,
) -> Option<Between> {
    let at = |node: &Value| addresses.get(node.as_str()?);
    let is_between = |node: &Value| {
        relays
            .iter()
            .any(|relay| relay["node"] == *node && relay["hops"] == 1)
    };
    relays
        .iter()
        .filter(|relay| is_between(&relay["provider"]))
        .find_map(|relay| {
            let below = at(&relay["node"])?;
            let above = at(&relay["provider"])?;
            let node = nodes.values().find(|pod| pod.address == *below)?.clone();
            let (above, _) = supernodes.iter().find(|(_, pod)| pod.address == *above)?;
            Some(Between {
                above: above.clone(),
                node,
            })
        })
}
