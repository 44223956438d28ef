//! What must not work, and must say why.

use crate::cluster::eventually;
use crate::report::Row;
use crate::stage::Stage;
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

/// How long the cluster may take to say it.
const PATIENCE: Duration = Duration::from_secs(60);
const COMPONENTS: [&str; 5] = [
    "directory",
    "supernode-coordinator",
    "ticket-broker",
    "media-forwarder",
    "rest-gateway",
];

/// Tries each.
pub async fn all(stage: &Stage) -> Vec<Row> {
    vec![
        tried("a value that is none is refused by name", bad_value(stage)).await,
        tried("a Secret that is missing is named", missing_secret(stage)).await,
        tried(
            "without NATS and Redis nothing is ready",
            never_reached(stage),
        )
        .await,
    ]
}

async fn tried(drill: &str, trying: impl Future<Output = anyhow::Result<String>>) -> Row {
    let begun = Instant::now();
    println!("...   {drill}");
    let (note, failures) = match trying.await {
        Ok(note) => (note, Vec::new()),
        Err(error) => (String::new(), vec![format!("{error:#}")]),
    };
    Row {
        note,
        failures,
        ..Row::new(drill, begun.elapsed())
    }
}

async fn bad_value(stage: &Stage) -> anyhow::Result<String> {
    let chart = stage.args.chart.display().to_string();
    for (set, named) in [
        (
            "media-forwarder.config.upstream-limits=5",
            "upstream-limits",
        ),
        ("directory.replicas=many", "replicas"),
        ("global.busUrl=nats://x", "busUrl"),
    ] {
        let refused = stage
            .cluster
            .helm(&["template", &chart, "--set", set])
            .await;
        let said = format!(
            "{:#}",
            refused.err().with_context(|| format!("{set} is taken"))?
        );
        ensure!(said.contains(named), "{set} is refused so: {said}");
    }
    Ok(String::new())
}

/// Installs a release that cannot become ready, looks, and takes it away again.
async fn unready(
    stage: &Stage,
    release: &str,
    set: &[&str],
    look: impl AsyncFnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let chart = stage.args.chart.display().to_string();
    let own = ["install", release, &chart];
    stage
        .cluster
        .helm(&[&own[..], set, &stage.helm_values()].concat())
        .await?;
    let looked = look().await;
    stage
        .cluster
        .helm(&["uninstall", release, "--wait"])
        .await?;
    looked
}

async fn missing_secret(stage: &Stage) -> anyhow::Result<String> {
    let set = ["--set", "global.bus.existingSecret.name=nowhere"];
    unready(stage, "no-secret", &set, async || {
        eventually("an event names the Secret", PATIENCE, || async {
            let events = stage
                .cluster
                .kubectl(&["get", "events", "--output", "custom-columns=M:.message"])
                .await?;
            let named = events
                .lines()
                .find(|line| line.contains("secret \"nowhere\" not found"));
            Ok(named.map(str::to_owned))
        })
        .await
    })
    .await
}

async fn never_reached(stage: &Stage) -> anyhow::Result<String> {
    unready(stage, "alone", &[], async || {
        let mut said = Vec::new();
        for component in COMPONENTS {
            let selector =
                format!("app.kubernetes.io/instance=alone,app.kubernetes.io/name={component}");
            said.push(
                eventually(
                    &format!("{component} says why it is not ready"),
                    PATIENCE,
                    || async {
                        let pods = stage.cluster.list("pods", &selector).await?;
                        let name = pods
                            .first()
                            .and_then(|pod| pod["metadata"]["name"].as_str());
                        let name = name.context("no pod yet")?;
                        let (status, body) = stage
                            .cluster
                            .get(&format!("pod/{name}"), 9090, "/readyz")
                            .await?;
                        ensure!(status == 503, "it is answered with {status}: {body}");
                        Ok(Some(format!(
                            "{component}: {}",
                            body.trim().replace('\n', ", ")
                        )))
                    },
                )
                .await?,
            );
        }
        Ok(said.join("; "))
    })
    .await
}
