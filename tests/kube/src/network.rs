//! Astral as installed: its relays, and who of them is origin.

use crate::cluster::{Cluster, eventually};
use crate::pods::{Pod, Pods};
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub const RELEASE: &str = "astral";
pub const RELAY: &str = "media-forwarder";
/// How long pods may take to come or go.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Pods that serve.
pub fn serving(pods: &Pods) -> BTreeMap<String, Pod> {
    let relays = pods.of(RELAY).into_iter();
    relays.filter(|(_, pod)| pod.ready && !pod.leaving && pod.ended.is_none()).collect()
}

/// Waits until just `count` relays serve.
///
/// # Errors
/// If it does not come to that.
pub async fn relays_are(pods: &Pods, count: usize) -> anyhow::Result<()> {
    eventually(&format!("{count} relays serve"), PATIENCE, || async {
        Ok((serving(pods).len() == count).then_some(()))
    })
    .await
}

/// Waits until each of `names` has ended.
///
/// # Errors
/// If one does not.
pub async fn have_ended(pods: &Pods, names: &[String]) -> anyhow::Result<()> {
    eventually(&format!("{names:?} have ended"), PATIENCE, || async {
        let relays = pods.of(RELAY);
        let ended = |name: &String| relays.get(name).is_some_and(|pod| pod.ended.is_some());
        Ok(names.iter().all(ended).then_some(()))
    })
    .await
}

/// The address of the relay that `slug` is published to.
///
/// # Errors
/// If the gateway does not know.
pub async fn origin(cluster: &Cluster, slug: &str) -> anyhow::Result<String> {
    let gateway = format!("svc/{RELEASE}-rest-gateway");
    eventually("the stream has an origin", PATIENCE, || async {
        let (_, stream) = cluster.get(&gateway, 8080, &format!("/v1/streams/{slug}")).await?;
        let (_, nodes) = cluster.get(&gateway, 8080, "/v1/nodes").await?;
        let (stream, nodes): (Value, Value) = (serde_json::from_str(&stream)?, serde_json::from_str(&nodes)?);
        let nodes = nodes["items"].as_array().context("a list of nodes")?;
        let is_live = stream["state"] == "live";
        let origin = nodes.iter().find(|node| is_live && node["uuid"] == stream["origin"]);
        let advertise = origin.and_then(|origin| origin["advertise"].as_str());
        Ok(advertise.and_then(|advertise| advertise.split(':').next()).map(str::to_owned))
    })
    .await
}
