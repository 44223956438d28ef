//! How pods end: kept by watching them, since a pod that has ended is soon forgotten.

use crate::cluster::Cluster;
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// What is known of a pod.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub component: String,
    pub address: String,
    pub ready: bool,
    /// Told to go.
    pub leaving: bool,
    /// Until when it may take, as the cluster writes times, which sort as text.
    pub deadline: Option<String>,
    /// The end of its container: exit code, and when.
    pub ended: Option<(i64, String)>,
    pub restarts: i64,
    pub started: Option<String>,
    pub ready_since: Option<String>,
}

type Known = Arc<Mutex<BTreeMap<String, Pod>>>;

/// Every pod that was ever seen in the namespace.
pub struct Pods {
    known: Known,
    _watching: Child,
}

impl Pods {
    /// Starts to watch.
    ///
    /// # Errors
    /// If kubectl does not start.
    pub fn watch(cluster: &Cluster) -> anyhow::Result<Self> {
        let known = Known::default();
        let mut child = Command::new("kubectl")
            .args([
                "--namespace",
                &cluster.namespace,
                "get",
                "pods",
                "--watch",
                "--output",
                "json",
            ])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("it is piped")?;
        tokio::spawn(read(stdout, known.clone()));
        Ok(Self {
            known,
            _watching: child,
        })
    }

    /// Every pod of `component`, by name.
    pub fn of(&self, component: &str) -> BTreeMap<String, Pod> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        known
            .into_iter()
            .filter(|(_, pod)| pod.component == component)
            .collect()
    }
}

async fn read(mut stdout: tokio::process::ChildStdout, known: Known) {
    let mut bytes = Vec::new();
    while stdout
        .read_buf(&mut bytes)
        .await
        .is_ok_and(|count| count > 0)
    {
        let mut objects = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
        let mut taken = 0;
        while let Some(Ok(object)) = objects.next() {
            take(&object, &known);
            taken = objects.byte_offset();
        }
        bytes.drain(..taken);
    }
}

fn take(object: &Value, known: &Known) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let Some(name) = text(&object["metadata"]["name"]) else {
        return;
    };
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready");
    let container = &object["status"]["containerStatuses"][0];
    let ended = &container["state"]["terminated"];
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let pod = known.entry(name).or_default();
    pod.component =
        text(&object["metadata"]["labels"]["app.kubernetes.io/name"]).unwrap_or_default();
    pod.address = text(&object["status"]["podIP"]).unwrap_or_else(|| pod.address.clone());
    pod.ready = ready.is_some_and(|ready| ready["status"] == "True");
    pod.leaving = object["metadata"].get("deletionTimestamp").is_some();
    // Brought forward once the pod has ended.
    pod.deadline = pod
        .deadline
        .take()
        .or(text(&object["metadata"]["deletionTimestamp"]));
    pod.restarts = container["restartCount"].as_i64().unwrap_or(pod.restarts);
    pod.started = text(&container["state"]["running"]["startedAt"]).or(pod.started.take());
    if pod.ready && pod.ready_since.is_none() {
        pod.ready_since = ready.and_then(|ready| text(&ready["lastTransitionTime"]));
    }
    if let Some(code) = ended["exitCode"].as_i64() {
        pod.ended = Some((code, text(&ended["finishedAt"]).unwrap_or_default()));
    }
}
