//! Astral as installed: its relays, and who of them is origin.

use crate::cluster::{Cluster, eventually};
use crate::pods::{Pod, Pods};
use crate::stage::{SLUG, Stage};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub const RELEASE: &str = "astral";
pub const RELAY: &str = "media-forwarder";
/// How long pods may take to come or go.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Supernodes that serve.
pub fn serving(pods: &Pods) -> BTreeMap<String, Pod> {
    serving_in(pods, RELEASE)
}

/// Relays of `release` that serve.
pub fn serving_in(pods: &Pods, release: &str) -> BTreeMap<String, Pod> {
    let deployment = format!("{release}-{RELAY}-");
    let serves = |pod: &Pod| pod.ready && !pod.leaving && pod.ended.is_none();
    pods.of(RELAY)
        .into_iter()
        .filter(|(name, pod)| name.starts_with(&deployment) && serves(pod))
        .collect()
}

/// A supernode that is not `origin`.
///
/// # Errors
/// If there is none.
pub fn another(pods: &Pods, origin: &str) -> anyhow::Result<(String, Pod)> {
    let other = serving(pods).into_iter().find(|(name, _)| name != origin);
    other.context("there is but one relay")
}

/// What the gateway answers at `path`.
///
/// # Errors
/// If it does not, or with a problem.
pub async fn ask(cluster: &Cluster, path: &str) -> anyhow::Result<Value> {
    let (status, body) = cluster
        .get(&format!("svc/{RELEASE}-rest-gateway"), 8080, path)
        .await?;
    ensure!(status == 200, "{path} is answered with {status}: {body}");
    Ok(serde_json::from_str(&body)?)
}

/// Where each node is, by its uuid.
///
/// # Errors
/// If the gateway does not say.
pub async fn addresses(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, String>> {
    let nodes = ask(cluster, "/v1/nodes").await?;
    let at = |node: &Value| {
        let address = node["advertise"].as_str()?.split(':').next()?;
        Some((node["uuid"].as_str()?.to_owned(), address.to_owned()))
    };
    Ok(nodes["items"]
        .as_array()
        .context("a list of nodes")?
        .iter()
        .filter_map(at)
        .collect())
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

/// The pod that the stream is published to.
///
/// # Errors
/// If there is none.
pub async fn find_origin(stage: &Stage) -> anyhow::Result<(String, Pod)> {
    eventually("the stream has an origin that serves", PATIENCE, || async {
        let stream = ask(&stage.cluster, &format!("/v1/streams/{SLUG}")).await?;
        let addresses = addresses(&stage.cluster).await?;
        let origin = stream["origin"]
            .as_str()
            .filter(|_| stream["state"] == "live");
        let address = origin.and_then(|origin| addresses.get(origin));
        Ok(serving(&stage.pods)
            .into_iter()
            .find(|(_, pod)| Some(&pod.address) == address))
    })
    .await
}
