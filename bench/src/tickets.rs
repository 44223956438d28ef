//! Tickets through the bus: the broker and the directory as processes, on a real NATS and a real Redis, against a bare
//! loop that makes the same calls on the same Redis and does nothing else.

mod crowd;
mod heartbeats;
mod servers;

use crate::report::{Promise, Report};
use crate::stats::{median, percentile};
use anyhow::{Context, Result, ensure};
use astral_backend::State;
use crowd::Crowd;
use serde_json::Value;
use servers::{Cpu, Servers};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Granted and confirmed tickets may cost so many times what their calls on Redis cost alone.
const TIMES_RAW: Promise = Promise {
    most: 2.0,
    aim: 1.25,
};
const LATENCY_MS: Promise = Promise {
    most: 5.0,
    aim: 2.0,
};
/// Of Redis, with a standby each, and who carries what.
const MEGABYTES: Promise = Promise {
    most: 40.0,
    aim: 20.0,
};
const HEARTBEATS: Promise = Promise {
    most: 1.0,
    aim: 1.0,
};
const TICKETS: usize = ROUNDS * ROUND;
const ROUNDS: usize = 5;
const ROUND: usize = 2_000;
/// Requests on their way at a time, and callers of the bare loop.
const WORKERS: usize = 64;
/// Of one second, two each millisecond.
const PACE: usize = 2_000;
const PACED: usize = 5 * PACE;
/// What is seen before the caches are warm does not count.
const WARM_UP: usize = 500;
/// How long what the bare loop writes stays.
const RAW_KEPT: Option<Duration> = Some(Duration::from_secs(60));

/// Grants ten thousand tickets as fast as they come, with their calls on Redis alone in between; then two thousand a
/// second; then counts a relay's heartbeats.
///
/// # Errors
/// If a server fails or a ticket is refused.
pub async fn run(report: &mut Report) -> Result<()> {
    let servers = Servers::start().await?;
    let crowd = Arc::new(Crowd::gather(servers.backend.clone()).await?);
    let beating = tokio::spawn(crowd.clone().beat_for_ever());
    crowd.expect(WARM_UP + TICKETS).await?;
    at_once(&crowd, WARM_UP).await?;
    against_bare_calls(report, &servers, &crowd).await?;
    at_a_pace(report, &crowd).await?;
    let beats = heartbeats::in_an_interval(&servers).await?;
    let links = heartbeats::LINKS;
    report.judge(
        &format!("heartbeats of a relay of {links} tickets, an interval"),
        beats,
        &HEARTBEATS,
    );
    beating.abort();
    Ok(())
}

/// Both in turn, since a machine is not equally fast from one second to the next: the median round counts.
async fn against_bare_calls(
    report: &mut Report,
    servers: &Servers,
    crowd: &Arc<Crowd>,
) -> Result<()> {
    let state = &servers.backend.state;
    let mut tickets = Vec::new();
    let mut bare = Vec::new();
    let mut ratios = Vec::new();
    let mut cost = Cpu::default();
    let mut bytes = 0.0;
    for round in 0..ROUNDS {
        let sizes_before = crowd.sizes(state).await?;
        let begun = servers.cpu()?;
        let held = servers.redis_bytes().await?;
        let seconds = at_once(crowd, ROUND).await?;
        cost = cost + (servers.cpu()? - begun);
        bytes += servers.redis_bytes().await? - held;
        let sizes_after = crowd.sizes(state).await?;
        let sizes = std::array::from_fn(|at| usize::midpoint(sizes_before[at], sizes_after[at]));
        let bare_seconds = raw_seconds(state, sizes, round * ROUND).await?;
        tickets.push(ROUND as f64 / seconds);
        bare.push(ROUND as f64 / bare_seconds);
        ratios.push(seconds / bare_seconds);
    }
    let each = |seconds: f64| seconds / TICKETS as f64 * 1e6;
    report.note(
        "tickets granted and confirmed, a second",
        median(&mut tickets),
    );
    report.note("their calls on Redis alone, a second", median(&mut bare));
    report.note("CPU of a ticket in the broker, us", each(cost.broker));
    report.note("CPU of a ticket in NATS, us", each(cost.bus));
    report.note("CPU of a ticket in Redis, us", each(cost.state));
    report.judge(
        "a ticket against its calls on Redis alone, x",
        median(&mut ratios),
        &TIMES_RAW,
    );
    report.judge(
        "10,000 tickets and standbys in Redis, MB",
        bytes / 1e6,
        &MEGABYTES,
    );
    Ok(())
}

/// How long a ticket takes where nothing is at its limit; and what a call that only reads does, which has of the machine
/// what all calls have.
async fn at_a_pace(report: &mut Report, crowd: &Arc<Crowd>) -> Result<()> {
    crowd.expect(PACED).await?;
    let mut tickets = paced(crowd, |crowd| async move { crowd.one_joins().await }).await?;
    let mut reads = paced(crowd, |crowd| async move { crowd.one_reads().await }).await?;
    report.note(
        "2,000 reads a second through the bus: p99, ms",
        percentile(&mut reads, 0.99),
    );
    report.note(
        "2,000 tickets a second: granted, confirmed p50, ms",
        of_median_second(&tickets, 0.5),
    );
    let calm = of_median_second(&tickets, 0.99);
    report.note("2,000 tickets a second: p99 of the median second, ms", calm);
    let p99 = percentile(&mut tickets, 0.99);
    report.judge(
        "2,000 tickets a second: granted, confirmed p99, ms",
        p99,
        &LATENCY_MS,
    );
    Ok(())
}

fn of_median_second(latencies: &[f64], share: f64) -> f64 {
    let mut seconds: Vec<f64> = latencies
        .chunks(PACE)
        .map(|second| percentile(&mut second.to_vec(), share))
        .collect();
    median(&mut seconds)
}

/// Seconds that so many tickets take.
async fn at_once(crowd: &Arc<Crowd>, tickets: usize) -> Result<f64> {
    let begun = Instant::now();
    let taken = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let crowd = crowd.clone();
        let taken = taken.clone();
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

/// Milliseconds that each took, in the order in which they began.
async fn paced<Fut>(crowd: &Arc<Crowd>, call: fn(Arc<Crowd>) -> Fut) -> Result<Vec<f64>>
where
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let mut tick = interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    for nth in 0..PACED {
        if nth % (PACE / 1_000) == 0 {
            tick.tick().await;
        }
        let crowd = crowd.clone();
        calls.spawn(async move {
            let begun = Instant::now();
            call(crowd).await?;
            anyhow::Ok((nth, begun.elapsed().as_secs_f64() * 1e3))
        });
    }
    let mut latencies = Vec::with_capacity(PACED);
    while let Some(latency) = calls.join_next().await {
        latencies.push(latency??);
    }
    latencies.sort_by_key(|(nth, _)| *nth);
    Ok(latencies
        .into_iter()
        .map(|(_, milliseconds)| milliseconds)
        .collect())
}

/// Seconds that a round takes of the calls which no ticket can do without, with entries of the sizes that they have: who
/// asks is read; the ledgers of provider and standby are written, and the first again at the confirmation; both tickets'
/// places and who pulls from whom are put.
async fn raw_seconds(state: &State, sizes: [usize; 3], first: usize) -> Result<f64> {
    let [ledger, place, upstream] = sizes.map(|size| "x".repeat(size));
    let texts = Arc::new((ledger, place, upstream));
    let begun = Instant::now();
    let taken = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let state = state.clone();
        let taken = taken.clone();
        let texts = texts.clone();
        workers.spawn(async move {
            loop {
                let ticket = taken.fetch_add(1, Ordering::Relaxed);
                if ticket >= ROUND {
                    return anyhow::Ok(());
                }
                raw_calls(&state, first + ticket, &texts).await?;
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
    state
        .get::<Value>("raw-relays", &ticket.to_string())
        .await?;
    state
        .put("raw-ledgers", &provider, ledger, RAW_KEPT)
        .await?;
    state
        .put("raw-tickets", &ticket.to_string(), place, RAW_KEPT)
        .await?;
    state
        .put("raw-upstreams", &ticket.to_string(), upstream, RAW_KEPT)
        .await?;
    state.put("raw-ledgers", &standby, ledger, RAW_KEPT).await?;
    state
        .put("raw-standbys", &ticket.to_string(), place, RAW_KEPT)
        .await?;
    state
        .put("raw-ledgers", &provider, ledger, RAW_KEPT)
        .await?;
    Ok(())
}

/// The bytes of an entry as it is written.
fn length(entry: Option<&Value>) -> Result<usize> {
    let length = entry.context("there is no such entry")?.to_string().len();
    ensure!(length > 2, "the entry is empty");
    Ok(length)
}
