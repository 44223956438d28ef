//! Tickets through the bus: the broker and the directory as processes, on a real NATS and a real Redis, against a bare
//! loop that makes the same calls on the same Redis and does nothing else.

mod crowd;
mod heartbeats;
mod servers;

use crate::report::{Promise, Report};
use crate::stats::percentile;
use anyhow::{Context, Result, ensure};
use astral_backend::State;
use crowd::Crowd;
use serde_json::Value;
use servers::Servers;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Granted and confirmed tickets may cost so many times what their calls on Redis cost alone.
const TIMES_RAW: Promise = Promise { most: 2.0, aim: 1.25 };
const LATENCY_MS: Promise = Promise { most: 5.0, aim: 2.0 };
/// Of Redis, with a standby each, and who carries what.
const MEGABYTES: Promise = Promise { most: 40.0, aim: 20.0 };
const HEARTBEATS: Promise = Promise { most: 1.0, aim: 1.0 };
const TICKETS: usize = 10_000;
/// Requests on their way at a time, and callers of the bare loop.
const WORKERS: usize = 64;
const PACE_PER_MS: usize = 2;
const PACED_FOR: Duration = Duration::from_secs(5);
/// What is seen before the caches are warm does not count.
const WARM_UP: usize = 500;
/// How long what the bare loop writes stays.
const RAW_KEPT: Option<Duration> = Some(Duration::from_secs(60));

/// Grants ten thousand tickets as fast as they come, then two thousand a second; then counts a relay's heartbeats.
///
/// # Errors
/// If a server fails or a ticket is refused.
pub async fn run(report: &mut Report) -> Result<()> {
    let servers = Servers::start().await?;
    let crowd = Arc::new(Crowd::gather(servers.backend.clone()).await?);
    let beating = tokio::spawn(crowd.clone().beat_for_ever());
    crowd.expect(WARM_UP + TICKETS).await?;
    at_once(&crowd, WARM_UP).await?;
    let (before, begun) = (servers.redis_bytes().await?, servers.cpu()?);
    let seconds = at_once(&crowd, TICKETS).await?;
    let ended = servers.cpu()?;
    let megabytes = (servers.redis_bytes().await? - before) / 1e6;
    let raw = raw_seconds(&servers.backend.state, &crowd).await?;
    let raw_state = servers.cpu()?.state - ended.state;
    report.note("tickets granted and confirmed, a second", TICKETS as f64 / seconds);
    report.note("their calls on Redis alone, a second", TICKETS as f64 / raw);
    let each = |seconds: f64| seconds / TICKETS as f64 * 1e6;
    report.note("CPU of a ticket in the broker, us", each(ended.broker - begun.broker));
    report.note("CPU of a ticket in NATS, us", each(ended.bus - begun.bus));
    report.note("CPU of a ticket in Redis, us", each(ended.state - begun.state));
    report.note("CPU of its calls alone in Redis, us", each(raw_state));
    report.judge("a ticket against its calls on Redis alone, x", seconds / raw, &TIMES_RAW);
    report.judge("10,000 tickets and standbys in Redis, MB", megabytes, &MEGABYTES);
    let mut latencies = paced(&crowd).await?;
    report.note("2,000 tickets a second: granted, confirmed p50, ms", percentile(&mut latencies, 0.5));
    let p99 = percentile(&mut latencies, 0.99);
    report.judge("2,000 tickets a second: granted, confirmed p99, ms", p99, &LATENCY_MS);
    let beats = heartbeats::in_an_interval(&servers).await?;
    let links = heartbeats::LINKS;
    report.judge(&format!("heartbeats of a relay of {links} tickets, an interval"), beats, &HEARTBEATS);
    beating.abort();
    Ok(())
}

/// Seconds that so many tickets take.
async fn at_once(crowd: &Arc<Crowd>, tickets: usize) -> Result<f64> {
    let begun = Instant::now();
    let taken = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (crowd, taken) = (crowd.clone(), taken.clone());
        workers.spawn(async move {
            while taken.fetch_add(1, Ordering::Relaxed) < tickets {
                crowd.one_joins().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Milliseconds that each took.
async fn paced(crowd: &Arc<Crowd>) -> Result<Vec<f64>> {
    let ticks = PACED_FOR.as_millis() as usize;
    crowd.expect(ticks * PACE_PER_MS).await?;
    let mut tick = interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut joins = JoinSet::new();
    for _ in 0..ticks {
        tick.tick().await;
        for _ in 0..PACE_PER_MS {
            let crowd = crowd.clone();
            joins.spawn(async move {
                let begun = Instant::now();
                crowd.one_joins().await?;
                anyhow::Ok(begun.elapsed().as_secs_f64() * 1e3)
            });
        }
    }
    let mut latencies = Vec::new();
    while let Some(join) = joins.join_next().await {
        latencies.push(join??);
    }
    Ok(latencies)
}

/// Seconds that the calls take which no ticket can do without, each of the size that it has: who asks is read; the
/// ledgers of provider and standby are written, and the first again at the confirmation; both tickets' places and who
/// pulls from whom are put.
async fn raw_seconds(state: &State, crowd: &Crowd) -> Result<f64> {
    let [ledger, place, upstream] = crowd.sample(state).await?.map(|length| "x".repeat(length));
    let texts = Arc::new((ledger, place, upstream));
    let (begun, taken) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (state, taken, texts) = (state.clone(), taken.clone(), texts.clone());
        workers.spawn(async move {
            loop {
                let ticket = taken.fetch_add(1, Ordering::Relaxed);
                if ticket >= TICKETS {
                    return anyhow::Ok(());
                }
                raw_calls(&state, ticket, &texts).await?;
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(begun.elapsed().as_secs_f64())
}

async fn raw_calls(
    state: &State,
    ticket: usize,
    (ledger, place, upstream): &(String, String, String),
) -> Result<()> {
    let [provider, standby] =
        [ticket % crowd::PROVIDERS, (ticket + 1) % crowd::PROVIDERS].map(|at| at.to_string());
    state.get::<Value>("raw-relays", &ticket.to_string()).await?;
    state.put("raw-ledgers", &provider, ledger, RAW_KEPT).await?;
    state.put("raw-tickets", &ticket.to_string(), place, RAW_KEPT).await?;
    state.put("raw-upstreams", &ticket.to_string(), upstream, RAW_KEPT).await?;
    state.put("raw-ledgers", &standby, ledger, RAW_KEPT).await?;
    state.put("raw-standbys", &ticket.to_string(), place, RAW_KEPT).await?;
    state.put("raw-ledgers", &provider, ledger, RAW_KEPT).await?;
    Ok(())
}

/// The bytes of an entry as it is written.
fn length(entry: Option<&Value>) -> Result<usize> {
    let length = entry.context("there is no such entry")?.to_string().len();
    ensure!(length > 2, "the entry is empty");
    Ok(length)
}
