//! What stands while drills go on: the cluster, its pods, a publisher and viewers.

use crate::cluster::{Cluster, eventually};
use crate::network::{PATIENCE, RELEASE};
use crate::pods::{Pod, Pods};
use crate::report::{Flv, Watched};
use anyhow::{Context, ensure};
use serde_json::json;
use std::path::PathBuf;

pub const SLUG: &str = "demo";
pub const KEY: &str = "of-the-kube-test";
/// The pod of the viewers behind the Service of the relays.
pub const WATCHER: &str = "kube-test-watch";
pub const PUBLISHER: &str = "kube-test-publish";

#[derive(clap::Args)]
pub struct Args {
    /// The chart to install
    #[arg(long, default_value = "charts/astral")]
    pub chart: PathBuf,
    /// Values for it, as `NAME=VALUE`
    #[arg(long = "set")]
    pub set: Vec<String>,
    /// The image `kube-test`
    #[arg(long)]
    pub image: String,
    /// The namespace, which is made and deleted
    #[arg(long, default_value = "astral-kube-test")]
    pub namespace: String,
    /// Leave everything there at the end
    #[arg(long)]
    pub keep: bool,
}

/// What runs while drills go on.
pub struct Stage {
    pub args: Args,
    pub cluster: Cluster,
    pub pods: Pods,
}

impl Stage {
    /// The flags of helm that every installation takes.
    pub fn helm_values(&self) -> Vec<&str> {
        self.args
            .set
            .iter()
            .flat_map(|set| ["--set", set])
            .collect()
    }

    /// Makes the namespace anew.
    ///
    /// # Errors
    /// What kubectl complains of.
    pub async fn prepare(args: Args) -> anyhow::Result<Self> {
        let cluster = Cluster {
            namespace: args.namespace.clone(),
        };
        let name = &cluster.namespace;
        cluster
            .kubectl(&["delete", "namespace", name, "--ignore-not-found"])
            .await?;
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let metadata = json!({"name": name, "labels": labels});
        cluster
            .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
            .await?;
        let pods = Pods::watch(&cluster)?;
        Ok(Self {
            args,
            cluster,
            pods,
        })
    }

    /// Creates the stream, with its key.
    ///
    /// # Errors
    /// If the gateway refuses.
    pub async fn create_stream(&self) -> anyhow::Result<()> {
        let gateway = self
            .cluster
            .forward(&format!("svc/{RELEASE}-rest-gateway"), 8080)
            .await?;
        let body = json!({"slug": SLUG, "key": KEY}).to_string();
        let answer = harness::http::post(gateway.address, "/v1/streams", &body)
            .await
            .context("the gateway answers")?;
        ensure!(
            answer.status == 201,
            "the stream is not created: {} {}",
            answer.status,
            answer.text()
        );
        Ok(())
    }

    /// Starts a pod of the image `kube-test`, as restricted as Astral's own.
    ///
    /// # Errors
    /// What kubectl complains of.
    pub async fn start_pod(&self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let security = json!({
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
            "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        });
        let container = json!({
            "name": name, "image": self.args.image, "imagePullPolicy": "IfNotPresent", "args": arguments,
            "securityContext": security,
        });
        let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 5, "restartPolicy": "Never"});
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        self.cluster.apply(&pod).await
    }

    /// Starts viewers of HLS, in the pod `name`, behind the Service `door`.
    ///
    /// # Errors
    /// What kubectl complains of.
    pub async fn start_viewers(&self, name: &str, door: &str) -> anyhow::Result<()> {
        self.start_pod(name, &["watch", "--media", door, "--slug", SLUG])
            .await
    }

    /// What the viewers in the pod `name` say now.
    ///
    /// # Errors
    /// If they say nothing.
    pub async fn watched(&self, name: &str) -> anyhow::Result<Watched> {
        let log = self
            .cluster
            .kubectl(&["logs", name, "--tail", "50"])
            .await?;
        let newest = log
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok());
        newest.with_context(|| format!("the viewers of {name} have not said anything"))
    }

    /// Waits until the viewers in the pod `name` see frames.
    ///
    /// # Errors
    /// If they never do.
    pub async fn is_watched(&self, name: &str) -> anyhow::Result<()> {
        eventually(
            &format!("viewers of {name} see frames"),
            PATIENCE,
            || async {
                let watched = self.watched(name).await?;
                Ok((watched.parts.frames > 100 && watched.segments.frames > 100).then_some(()))
            },
        )
        .await
    }

    /// Watches HTTP-FLV at one relay for so long.
    ///
    /// # Errors
    /// If the viewer does not start.
    pub async fn flv(&self, pod: &Pod, seconds: u64) -> anyhow::Result<Flv> {
        let media = format!("{}:8081", pod.address);
        let seconds = seconds.to_string();
        let command = [
            "exec",
            WATCHER,
            "--",
            "/astral-kube-test",
            "flv",
            "--media",
            &media,
            "--slug",
            SLUG,
        ];
        let said = self
            .cluster
            .kubectl(&[&command[..], &["--seconds", &seconds]].concat())
            .await?;
        Ok(serde_json::from_str(
            said.lines().next_back().unwrap_or_default(),
        )?)
    }
}
