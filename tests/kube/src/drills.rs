//! The drills.

use crate::judge::{Cost, drill, undisturbed};
use crate::network::{RELAY, RELEASE, find_origin, have_ended, relays_are, serving, serving_in};
use crate::pods::{Pod, Pods};
use crate::report::{self, Row};
use crate::stage::{Args, KEY, PUBLISHER, SLUG, Stage, WATCHER};
use crate::tiers::{self, Between, WATCHER_BELOW};
use crate::{network, refusals};
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

/// How long NATS and Redis are away.
const AWAY: Duration = Duration::from_secs(15);

/// Installs, drills, judges.
///
/// # Errors
/// If the cluster does not do what is asked, or a drill fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let stage = Stage::prepare(args).await?;
    let mut rows = Vec::new();
    let ran = run_all(&stage, &mut rows).await;
    let failed = report::print(&rows);
    if !stage.args.keep {
        stage
            .cluster
            .kubectl(&["delete", "namespace", &stage.args.namespace, "--wait=false"])
            .await?;
    }
    ran?;
    ensure!(failed == 0, "{failed} drills failed");
    Ok(())
}

async fn run_all(stage: &Stage, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    for refusal in refusals::all(stage).await {
        show(rows, refusal);
    }
    show(rows, install(stage).await?);
    stage.start_viewers(WATCHER, &relays_door(8081)).await?;
    let url = format!("rtmp://{}/live/{SLUG}?key={KEY}", relays_door(1935));
    stage
        .start_pod(PUBLISHER, &["publish", "--url", &url])
        .await?;
    stage.is_watched(WATCHER).await?;
    tiers::install(stage).await?;
    let nothing = [(WATCHER, Cost::Nothing), (WATCHER_BELOW, Cost::Nothing)];
    let at_the_dead = [(WATCHER, Cost::Retries), (WATCHER_BELOW, Cost::Nothing)];
    let everywhere = [(WATCHER, Cost::Retries), (WATCHER_BELOW, Cost::Retries)];
    show(
        rows,
        drill(stage, "nothing happens", &nothing, async |_| {
            wait_a_while().await
        })
        .await?,
    );
    show(rows, drill(stage, "relays 2 → 5", &nothing, grow).await?);
    show(rows, drill(stage, "relays 5 → 2", &nothing, shrink).await?);
    let delete_one = async |stage: &Stage| delete(stage, false).await;
    show(
        rows,
        drill(
            stage,
            "a relay between others is deleted",
            &nothing,
            delete_one,
        )
        .await?,
    );
    let kill_one = async |stage: &Stage| delete(stage, true).await;
    show(
        rows,
        drill(
            stage,
            "a relay between others is killed",
            &at_the_dead,
            kill_one,
        )
        .await?,
    );
    show(
        rows,
        drill(stage, "the origin is killed", &everywhere, kill_origin).await?,
    );
    for (name, deployment) in [
        ("NATS is away", "nats"),
        ("Redis is away, and comes back empty", "redis"),
    ] {
        let act = async |stage: &Stage| be_without(stage, deployment).await;
        show(rows, drill(stage, name, &nothing, act).await?);
    }
    show(
        rows,
        drill(stage, "an upgrade changes a value", &nothing, upgrade).await?,
    );
    show(rows, uninstall(stage).await?);
    Ok(())
}

fn show(rows: &mut Vec<Row>, row: Row) {
    let verdict = if row.failures.is_empty() {
        "pass"
    } else {
        "FAIL"
    };
    println!(
        "{verdict}  {} ({:.1} s) {}",
        row.drill,
        row.took.as_secs_f64(),
        row.note
    );
    row.failures
        .iter()
        .for_each(|failure| println!("    {failure}"));
    rows.push(row);
}

fn relays_door(port: u16) -> String {
    format!("{RELEASE}-{RELAY}:{port}")
}

async fn install(stage: &Stage) -> anyhow::Result<Row> {
    let begun = Instant::now();
    let chart = stage.args.chart.display().to_string();
    let own = [
        "install",
        RELEASE,
        &chart,
        "--wait",
        "--timeout",
        "3m",
        "--set",
        "global.trial.enabled=true",
    ];
    let seats = ["--set", tiers::SEATS];
    stage
        .cluster
        .helm(&[&own[..], &seats, &stage.helm_values()].concat())
        .await?;
    let took = begun.elapsed();
    stage.create_stream().await?;
    Ok(Row::new("install", took))
}

/// Of a time as the cluster writes it, what stands behind the date.
fn clock(time: &str) -> &str {
    time.split('T').next_back().unwrap_or(time)
}

async fn wait_a_while() -> anyhow::Result<String> {
    tokio::time::sleep(Duration::from_secs(10)).await;
    Ok(String::new())
}

async fn scale(stage: &Stage, deployment: &str, replicas: usize) -> anyhow::Result<()> {
    let replicas = format!("--replicas={replicas}");
    stage
        .cluster
        .kubectl(&[
            "scale",
            &format!("deployment/{RELEASE}-{deployment}"),
            &replicas,
        ])
        .await?;
    Ok(())
}

async fn grow(stage: &Stage) -> anyhow::Result<String> {
    scale(stage, RELAY, 5).await?;
    relays_are(&stage.pods, 5).await?;
    Ok(String::new())
}

/// The origin stays, as an operator would have it.
async fn shrink(stage: &Stage) -> anyhow::Result<String> {
    let (origin, _) = find_origin(stage).await?;
    let cost = "controller.kubernetes.io/pod-deletion-cost=100";
    stage
        .cluster
        .kubectl(&["annotate", "pod", &origin, cost, "--overwrite"])
        .await?;
    let before: Vec<_> = serving(&stage.pods).into_keys().collect();
    scale(stage, RELAY, 2).await?;
    relays_are(&stage.pods, 2).await?;
    let now = serving(&stage.pods);
    let gone: Vec<_> = before
        .into_iter()
        .filter(|name| !now.contains_key(name))
        .collect();
    have_ended(&stage.pods, &gone).await?;
    ended_well(&stage.pods, &gone)
}

/// Each ended by itself, with 0, before its deadline; how long before.
fn ended_well(pods: &Pods, names: &[String]) -> anyhow::Result<String> {
    let relays = pods.of(RELAY);
    let mut notes = Vec::new();
    for name in names {
        let pod = relays.get(name).context("a pod that was watched")?;
        let (code, at) = pod
            .ended
            .clone()
            .with_context(|| format!("how {name} ended is not known"))?;
        let deadline = pod.deadline.clone().unwrap_or_default();
        ensure!(code == 0, "{name} ended with {code}");
        ensure!(
            at < deadline,
            "{name} ended at {at}, its grace at {deadline}"
        );
        notes.push(format!("{} of {}", clock(&at), clock(&deadline)));
    }
    Ok(format!(
        "{} exited 0 (at, of): {}",
        names.len(),
        notes.join(", ")
    ))
}

/// One that feeds another, below which somebody watches, as somebody does at the origin.
async fn delete(stage: &Stage, by_force: bool) -> anyhow::Result<String> {
    let Between { above, node } = tiers::between(stage).await?;
    let (_, origin) = find_origin(stage).await?;
    let deleting = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let force: &[&str] = if by_force {
            &["--grace-period=0", "--force"]
        } else {
            &[]
        };
        stage
            .cluster
            .kubectl(&[&["delete", "pod", &above][..], force].concat())
            .await?;
        relays_are(&stage.pods, 2).await
    };
    let (below, beside, deleted) =
        tokio::join!(stage.flv(&node, 20), stage.flv(&origin, 20), deleting);
    deleted?;
    let note = format!(
        "below it: {}; at the origin: {}",
        undisturbed(&below?)?,
        undisturbed(&beside?)?
    );
    if by_force {
        return Ok(note);
    }
    have_ended(&stage.pods, std::slice::from_ref(&above)).await?;
    Ok(format!("{}; {note}", ended_well(&stage.pods, &[above])?))
}

/// Its publisher is back at another relay, and whoever watches elsewhere stays.
async fn kill_origin(stage: &Stage) -> anyhow::Result<String> {
    let (origin, _) = find_origin(stage).await?;
    let (_, elsewhere) = network::another(&stage.pods, &origin)?;
    let killing = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stage
            .cluster
            .kubectl(&["delete", "pod", &origin, "--grace-period=0", "--force"])
            .await?;
        relays_are(&stage.pods, 2).await
    };
    let (flv, killed) = tokio::join!(stage.flv(&elsewhere, 25), killing);
    killed?;
    Ok(format!("at another relay: {}", undisturbed(&flv?)?))
}

/// Relays stay ready, and say what is missing.
async fn be_without(stage: &Stage, deployment: &str) -> anyhow::Result<String> {
    scale(stage, deployment, 0).await?;
    tokio::time::sleep(AWAY).await;
    let mut said = Vec::new();
    for component in [RELAY, "directory", "rest-gateway"] {
        let pods = stage.pods.of(component);
        let (name, pod) = pods
            .iter()
            .find(|(_, pod)| !pod.leaving && pod.ended.is_none())
            .context("a pod")?;
        let (status, body) = stage
            .cluster
            .get(&format!("pod/{name}"), 9090, "/readyz")
            .await?;
        ensure!(
            status == 200 && pod.ready,
            "{component} is not ready any more: {body}"
        );
        said.push(format!("{component}: {}", body.trim().replace('\n', ", ")));
    }
    scale(stage, deployment, 1).await?;
    let ready = [
        "rollout",
        "status",
        &format!("deployment/{RELEASE}-{deployment}"),
    ];
    stage.cluster.kubectl(&ready).await?;
    ensure!(
        said.iter().any(|said| said.contains("away")),
        "nobody says that it is away: {said:?}"
    );
    Ok(said.join("; "))
}

async fn upgrade(stage: &Stage) -> anyhow::Result<String> {
    let before: Vec<_> = serving(&stage.pods).into_keys().collect();
    let chart = stage.args.chart.display().to_string();
    let changed = [
        "--reset-then-reuse-values",
        "--set",
        "media-forwarder.config.cache-mib=96",
    ];
    let own = ["upgrade", RELEASE, &chart, "--wait", "--timeout", "5m"];
    stage.cluster.helm(&[&own[..], &changed].concat()).await?;
    have_ended(&stage.pods, &before).await?;
    relays_are(&stage.pods, 2).await?;
    ended_well(&stage.pods, &before)
}

/// Of either release; those of the refusals never served.
fn is_ours((name, _): &(String, Pod)) -> bool {
    [RELEASE, tiers::NODES]
        .iter()
        .any(|release| name.starts_with(&format!("{release}-")))
}

async fn uninstall(stage: &Stage) -> anyhow::Result<Row> {
    let begun = Instant::now();
    let relays = serving(&stage.pods)
        .into_iter()
        .chain(serving_in(&stage.pods, tiers::NODES));
    let before: Vec<_> = relays.map(|(name, _)| name).collect();
    stage
        .cluster
        .kubectl(&["delete", "pod", PUBLISHER, WATCHER, WATCHER_BELOW])
        .await?;
    stage
        .cluster
        .helm(&["uninstall", tiers::NODES, "--wait", "--timeout", "3m"])
        .await?;
    stage
        .cluster
        .helm(&["uninstall", RELEASE, "--wait", "--timeout", "3m"])
        .await?;
    let mut row = Row::new("uninstall", begun.elapsed());
    have_ended(&stage.pods, &before).await?;
    match ended_well(&stage.pods, &before) {
        Ok(note) => row.note = note,
        Err(error) => row.failures.push(format!("{error:#}")),
    }
    for component in [
        "directory",
        "supernode-coordinator",
        "ticket-broker",
        RELAY,
        "rest-gateway",
    ] {
        for (name, pod) in stage.pods.of(component).into_iter().filter(is_ours) {
            if pod.restarts > 0 || pod.ended.as_ref().is_some_and(|(code, _)| *code != 0) {
                row.failures.push(format!(
                    "{name}: {} restarts, ended {:?}",
                    pod.restarts, pod.ended
                ));
            }
        }
    }
    Ok(row)
}
