//! The drills, and what each of them may cost a viewer.

use crate::cluster::{Cluster, eventually};
use crate::network::{PATIENCE, RELAY, RELEASE, have_ended, origin, relays_are, serving};
use crate::pods::{Pod, Pods};
use crate::refusals;
use crate::report::{self, Flv, Hls, Row, Watched};
use anyhow::{Context, bail, ensure};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const SLUG: &str = "demo";
const KEY: &str = "of-the-kube-test";
const WATCHER: &str = "kube-test-watch";
const PUBLISHER: &str = "kube-test-publish";
/// After each drill viewers are watched for this long.
const SETTLE: Duration = Duration::from_secs(6);
/// How long NATS and Redis are away.
const AWAY: Duration = Duration::from_secs(15);

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

/// What a drill may cost viewers of HLS behind the Service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cost {
    /// Nothing at all.
    Nothing,
    /// Requests that fail and are made again.
    Retries,
}

/// Installs, drills, judges.
///
/// # Errors
/// If the cluster does not do what is asked, or a drill fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let cluster = Cluster { namespace: args.namespace.clone() };
    make_namespace(&cluster).await?;
    let pods = Pods::watch(&cluster)?;
    let stage = Stage { args, cluster, pods };
    let mut rows = Vec::new();
    let ran = run_all(&stage, &mut rows).await;
    let failed = report::print(&rows);
    if !stage.args.keep {
        stage.cluster.kubectl(&["delete", "namespace", &stage.args.namespace, "--wait=false"]).await?;
    }
    ran?;
    ensure!(failed == 0, "{failed} drills failed");
    Ok(())
}

async fn make_namespace(cluster: &Cluster) -> anyhow::Result<()> {
    let name = &cluster.namespace;
    cluster.kubectl(&["delete", "namespace", name, "--ignore-not-found"]).await?;
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let metadata = json!({"name": name, "labels": labels});
    cluster.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await
}

async fn run_all(stage: &Stage, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    for refusal in refusals::all(stage).await {
        show(rows, refusal);
    }
    show(rows, install(stage).await?);
    start_pod(stage, WATCHER, &["watch", "--media", &relays_door(8081), "--slug", SLUG]).await?;
    let url = format!("rtmp://{}/live/{SLUG}?key={KEY}", relays_door(1935));
    start_pod(stage, PUBLISHER, &["publish", "--url", &url]).await?;
    is_watched(stage).await?;
    show(rows, drill(stage, "nothing happens", Cost::Nothing, async |_| wait_a_while().await).await?);
    show(rows, drill(stage, "relays 2 → 5", Cost::Nothing, grow).await?);
    show(rows, drill(stage, "relays 5 → 2", Cost::Nothing, shrink).await?);
    show(
        rows,
        drill(stage, "a relay is deleted", Cost::Nothing, async |stage| delete(stage, false).await).await?,
    );
    show(
        rows,
        drill(stage, "a relay is killed", Cost::Retries, async |stage| delete(stage, true).await).await?,
    );
    show(rows, drill(stage, "the origin is killed", Cost::Retries, kill_origin).await?);
    for (name, deployment) in [("NATS is away", "nats"), ("Redis is away, and comes back empty", "redis")] {
        let act = async |stage: &Stage| be_without(stage, deployment).await;
        show(rows, drill(stage, name, Cost::Nothing, act).await?);
    }
    show(rows, drill(stage, "an upgrade changes a value", Cost::Nothing, upgrade).await?);
    show(rows, uninstall(stage).await?);
    Ok(())
}

fn show(rows: &mut Vec<Row>, row: Row) {
    let verdict = if row.failures.is_empty() { "pass" } else { "FAIL" };
    println!("{verdict}  {} ({:.1} s) {}", row.drill, row.took.as_secs_f64(), row.note);
    row.failures.iter().for_each(|failure| println!("    {failure}"));
    rows.push(row);
}

fn relays_door(port: u16) -> String {
    format!("{RELEASE}-{RELAY}:{port}")
}

/// The flags of helm that every installation takes.
pub fn helm_values(args: &Args) -> Vec<&str> {
    args.set.iter().flat_map(|set| ["--set", set]).collect()
}

async fn install(stage: &Stage) -> anyhow::Result<Row> {
    let begun = Instant::now();
    let chart = stage.args.chart.display().to_string();
    let own = ["install", RELEASE, &chart, "--wait", "--timeout", "3m", "--set", "global.trial.enabled=true"];
    stage.cluster.helm(&[&own[..], &helm_values(&stage.args)].concat()).await?;
    let took = begun.elapsed();
    create_stream(stage).await?;
    Ok(Row { drill: "install".into(), took, ..nothing() })
}

/// Of a time as the cluster writes it, what stands behind the date.
fn clock(time: &str) -> &str {
    time.split('T').next_back().unwrap_or(time)
}

fn nothing() -> Row {
    let (drill, note) = (String::new(), String::new());
    Row { drill, took: Duration::ZERO, frames: 0, lost: 0, errors: 0, note, failures: Vec::new() }
}

async fn create_stream(stage: &Stage) -> anyhow::Result<()> {
    let gateway = stage.cluster.forward(&format!("svc/{RELEASE}-rest-gateway"), 8080).await?;
    let body = json!({"slug": SLUG, "key": KEY}).to_string();
    let answer =
        harness::http::post(gateway.address, "/v1/streams", &body).await.context("the gateway answers")?;
    ensure!(answer.status == 201, "the stream is not created: {} {}", answer.status, answer.text());
    Ok(())
}

/// A pod of the image `kube-test`, as restricted as Astral's own.
async fn start_pod(stage: &Stage, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let security = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
        "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let container = json!({
        "name": name, "image": stage.args.image, "imagePullPolicy": "IfNotPresent", "args": arguments,
        "securityContext": security,
    });
    let spec =
        json!({"containers": [container], "terminationGracePeriodSeconds": 5, "restartPolicy": "Never"});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    stage.cluster.apply(&pod).await
}

/// What the viewers say now.
async fn watched(stage: &Stage) -> anyhow::Result<Watched> {
    let log = stage.cluster.kubectl(&["logs", WATCHER, "--tail", "50"]).await?;
    let newest = log.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    newest.context("the viewers have not said anything")
}

async fn is_watched(stage: &Stage) -> anyhow::Result<()> {
    eventually("viewers see frames", PATIENCE, || async {
        let watched = watched(stage).await?;
        Ok((watched.parts.frames > 100 && watched.segments.frames > 100).then_some(()))
    })
    .await
}

async fn drill(
    stage: &Stage,
    name: &str,
    cost: Cost,
    act: impl AsyncFnOnce(&Stage) -> anyhow::Result<String>,
) -> anyhow::Result<Row> {
    println!("...   {name}");
    let before = watched(stage).await?;
    let begun = Instant::now();
    let acted = act(stage).await;
    let took = begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    let after = watched(stage).await?;
    let mut row = Row { drill: name.to_owned(), took, ..nothing() };
    match acted {
        Ok(note) => row.note = note,
        Err(error) => row.failures.push(format!("{error:#}")),
    }
    for (kind, before, after) in
        [("parts", &before.parts, &after.parts), ("segments", &before.segments, &after.segments)]
    {
        judge(&mut row, kind, cost, before, after);
    }
    Ok(row)
}

fn judge(row: &mut Row, kind: &str, cost: Cost, before: &Hls, after: &Hls) {
    let frames = after.frames - before.frames;
    let lost = (after.lost - before.lost) + (after.disorder - before.disorder);
    let errors = after.errors - before.errors;
    row.frames += frames;
    row.lost += lost;
    row.errors += errors;
    if frames == 0 {
        row.failures.push(format!("{kind}: no frame was seen"));
    }
    if lost > 0 || (errors > 0 && cost == Cost::Nothing) {
        let said = after.complaints.iter().skip(before.complaints.len()).take(6);
        let said: Vec<_> = said.map(String::as_str).collect();
        row.failures.push(format!("{kind}: {lost} holes, {errors} errors: {}", said.join("; ")));
    }
}

async fn wait_a_while() -> anyhow::Result<String> {
    tokio::time::sleep(Duration::from_secs(10)).await;
    Ok(String::new())
}

async fn scale(stage: &Stage, deployment: &str, replicas: usize) -> anyhow::Result<()> {
    let replicas = format!("--replicas={replicas}");
    stage.cluster.kubectl(&["scale", &format!("deployment/{RELEASE}-{deployment}"), &replicas]).await?;
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
    stage.cluster.kubectl(&["annotate", "pod", &origin, cost, "--overwrite"]).await?;
    let before: Vec<_> = serving(&stage.pods).into_keys().collect();
    scale(stage, RELAY, 2).await?;
    relays_are(&stage.pods, 2).await?;
    let now = serving(&stage.pods);
    let gone: Vec<_> = before.into_iter().filter(|name| !now.contains_key(name)).collect();
    have_ended(&stage.pods, &gone).await?;
    ended_well(&stage.pods, &gone)
}

/// Each ended by itself, with 0, before its deadline; how long before.
fn ended_well(pods: &Pods, names: &[String]) -> anyhow::Result<String> {
    let relays = pods.of(RELAY);
    let mut notes = Vec::new();
    for name in names {
        let pod = relays.get(name).context("a pod that was watched")?;
        let (code, at) = pod.ended.clone().with_context(|| format!("how {name} ended is not known"))?;
        let deadline = pod.deadline.clone().unwrap_or_default();
        ensure!(code == 0, "{name} ended with {code}");
        ensure!(at < deadline, "{name} ended at {at}, its grace at {deadline}");
        notes.push(format!("{} of {}", clock(&at), clock(&deadline)));
    }
    Ok(format!("{} exited 0 (at, of): {}", names.len(), notes.join(", ")))
}

async fn find_origin(stage: &Stage) -> anyhow::Result<(String, Pod)> {
    let address = origin(&stage.cluster, SLUG).await?;
    let found = serving(&stage.pods).into_iter().find(|(_, pod)| pod.address == address);
    found.with_context(|| format!("no relay that serves is at {address}"))
}

/// A relay that is not origin.
fn another(stage: &Stage, origin: &str) -> anyhow::Result<(String, Pod)> {
    let other = serving(&stage.pods).into_iter().find(|(name, _)| name != origin);
    other.context("there is but one relay")
}

/// A viewer of HTTP-FLV at one relay, for as long as that is watched.
async fn flv(stage: &Stage, pod: &Pod, seconds: u64) -> anyhow::Result<Flv> {
    let media = format!("{}:8081", pod.address);
    let seconds = seconds.to_string();
    let command = ["exec", WATCHER, "--", "/astral-kube-test", "flv", "--media", &media, "--slug", SLUG];
    let said = stage.cluster.kubectl(&[&command[..], &["--seconds", &seconds]].concat()).await?;
    Ok(serde_json::from_str(said.lines().next_back().unwrap_or_default())?)
}

fn undisturbed(flv: &Flv) -> anyhow::Result<String> {
    if let Some(why) = flv.fault.as_ref().or(flv.ended.as_ref()) {
        bail!("a viewer of HTTP-FLV at another relay: {why}");
    }
    ensure!(flv.frames > 100, "a viewer of HTTP-FLV saw {} frames", flv.frames);
    Ok(format!("FLV at another relay: {} frames, longest gap {} ms", flv.frames, flv.longest_gap_ms))
}

async fn delete(stage: &Stage, by_force: bool) -> anyhow::Result<String> {
    let (origin, at_origin) = find_origin(stage).await?;
    let (other, _) = another(stage, &origin)?;
    let deleting = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let force: &[&str] = if by_force { &["--grace-period=0", "--force"] } else { &[] };
        stage.cluster.kubectl(&[&["delete", "pod", &other][..], force].concat()).await?;
        relays_are(&stage.pods, 2).await
    };
    let (flv, deleted) = tokio::join!(flv(stage, &at_origin, 20), deleting);
    deleted?;
    let note = undisturbed(&flv?)?;
    if by_force {
        return Ok(note);
    }
    have_ended(&stage.pods, std::slice::from_ref(&other)).await?;
    Ok(format!("{}; {note}", ended_well(&stage.pods, &[other])?))
}

/// Its publisher is back at another relay, and whoever watches elsewhere stays.
async fn kill_origin(stage: &Stage) -> anyhow::Result<String> {
    let (origin, _) = find_origin(stage).await?;
    let (_, elsewhere) = another(stage, &origin)?;
    let killing = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stage.cluster.kubectl(&["delete", "pod", &origin, "--grace-period=0", "--force"]).await?;
        relays_are(&stage.pods, 2).await
    };
    let (flv, killed) = tokio::join!(flv(stage, &elsewhere, 25), killing);
    killed?;
    undisturbed(&flv?)
}

/// Relays stay ready, and say what is missing.
async fn be_without(stage: &Stage, deployment: &str) -> anyhow::Result<String> {
    scale(stage, deployment, 0).await?;
    tokio::time::sleep(AWAY).await;
    let mut said = Vec::new();
    for component in [RELAY, "directory", "rest-gateway"] {
        let pods = stage.pods.of(component);
        let (name, pod) =
            pods.iter().find(|(_, pod)| !pod.leaving && pod.ended.is_none()).context("a pod")?;
        let (status, body) = stage.cluster.get(&format!("pod/{name}"), 9090, "/readyz").await?;
        ensure!(status == 200 && pod.ready, "{component} is not ready any more: {body}");
        said.push(format!("{component}: {}", body.trim().replace('\n', ", ")));
    }
    scale(stage, deployment, 1).await?;
    let ready = ["rollout", "status", &format!("deployment/{RELEASE}-{deployment}")];
    stage.cluster.kubectl(&ready).await?;
    ensure!(said.iter().any(|said| said.contains("away")), "nobody says that it is away: {said:?}");
    Ok(said.join("; "))
}

async fn upgrade(stage: &Stage) -> anyhow::Result<String> {
    let before: Vec<_> = serving(&stage.pods).into_keys().collect();
    let chart = stage.args.chart.display().to_string();
    let changed = ["--reset-then-reuse-values", "--set", "media-forwarder.config.cache-mib=96"];
    let own = ["upgrade", RELEASE, &chart, "--wait", "--timeout", "5m"];
    stage.cluster.helm(&[&own[..], &changed].concat()).await?;
    have_ended(&stage.pods, &before).await?;
    relays_are(&stage.pods, 2).await?;
    ended_well(&stage.pods, &before)
}

async fn uninstall(stage: &Stage) -> anyhow::Result<Row> {
    let begun = Instant::now();
    let before: Vec<_> = serving(&stage.pods).into_keys().collect();
    stage.cluster.kubectl(&["delete", "pod", PUBLISHER, WATCHER]).await?;
    stage.cluster.helm(&["uninstall", RELEASE, "--wait", "--timeout", "3m"]).await?;
    let mut row = Row { drill: "uninstall".into(), took: begun.elapsed(), ..nothing() };
    have_ended(&stage.pods, &before).await?;
    match ended_well(&stage.pods, &before) {
        Ok(note) => row.note = note,
        Err(error) => row.failures.push(format!("{error:#}")),
    }
    for component in ["directory", "supernode-coordinator", "ticket-broker", RELAY, "rest-gateway"] {
        // Those of the refusals never served.
        for (name, pod) in stage.pods.of(component).into_iter().filter(|(name, _)| name.starts_with(RELEASE))
        {
            if pod.restarts > 0 || pod.ended.as_ref().is_some_and(|(code, _)| *code != 0) {
                row.failures.push(format!("{name}: {} restarts, ended {:?}", pod.restarts, pod.ended));
            }
        }
    }
    Ok(row)
}
