//! Which replicas of a service answer, and keeping an eye on those that do not.

use super::Shared;
use super::replica::{self, Replica};
use super::wire::{Heard, Present};
use crate::observe;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long replicas may take to answer a roll call.
const WAIT: Duration = Duration::from_millis(100);
/// A replica that does not answer within this when it alone is asked is told of.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// Longest pause between two questions to a replica that is silent.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Asks all replicas of `service` whether they answer; those that do not are asked last from now on, and watched.
pub(super) async fn hold(bus: &Arc<Shared>, service: &str) {
    let lock = bus.roster.roll_call(service);
    let mut last = lock.lock().await;
    if last.is_some_and(|at| at.elapsed() < WAIT) {
        return;
    }
    let begun = Instant::now();
    if timeout(WAIT, ask_all(bus, service, begun)).await == Ok(Outcome::BusIsAway) {
        return;
    }
    for silent in bus.roster.mark_silent(service, begun) {
        tokio::spawn(watch(Arc::downgrade(bus), service.to_owned(), silent));
    }
    *last = Some(Instant::now());
}

#[derive(PartialEq, Eq)]
enum Outcome {
    AllAnswered,
    NobodyIsThere,
    BusIsAway,
}

/// Until all replicas that are known have answered, and one at least.
async fn ask_all(bus: &Arc<Shared>, service: &str, begun: Instant) -> Outcome {
    let mut expected = bus.transport.expect();
    let subject = replica::roll_call(service);
    if bus
        .transport
        .request(&subject, Present::question(), None, &expected)
        .await
        .is_err()
    {
        return Outcome::BusIsAway;
    }
    loop {
        match expected.next().await {
            Some(Heard::Answer(Some(replica), answer)) => {
                let is_busy = answer
                    .decode(&subject)
                    .is_ok_and(|present: Present| present.is_busy);
                bus.roster
                    .present(service, &replica, is_busy, Instant::now());
            }
            Some(Heard::Answer(None, _) | Heard::Working(_)) => {}
            Some(Heard::Nobody) => return Outcome::NobodyIsThere,
            None => return Outcome::BusIsAway,
        }
        if bus.roster.all_heard(service, begun) {
            return Outcome::AllAnswered;
        }
    }
}

/// Asks a silent replica again and again, until it answers or has gone. Says once that it does not answer, and once that
/// it does again.
async fn watch(bus: Weak<Shared>, service: String, silent: Replica) {
    let mut is_told = false;
    let mut pause = TOLD_AFTER;
    let mut since = Instant::now();
    loop {
        let Some(shared) = bus.upgrade() else { return };
        match timeout(TOLD_AFTER, ask_one(&shared, &service, &silent)).await {
            Ok(Sign::Present) => break,
            Ok(Sign::Gone) => {
                shared.roster.forget(&service, silent.id);
                break;
            }
            // Of a replica that cannot be asked there is nothing to tell.
            Ok(Sign::Unknown) => since = Instant::now(),
            Err(_) if !is_told => {
                is_told = true;
                let Replica { id, place } = &silent;
                tracing::warn!(service, replica = %id, place, "a replica does not answer, others are asked");
            }
            Err(_) => {}
        }
        observe::replica_is_silent(&service, &silent.to_string(), is_told);
        drop(shared);
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    if is_told {
        let Replica { id, place } = &silent;
        let seconds = since.elapsed().as_secs();
        tracing::info!(service, replica = %id, place, seconds, "a replica that did not answer answers again, or has gone");
        observe::replica_is_silent(&service, &silent.to_string(), false);
    }
}

enum Sign {
    Present,
    Gone,
    Unknown,
}

async fn ask_one(bus: &Arc<Shared>, service: &str, silent: &Replica) -> Sign {
    let mut expected = bus.transport.expect();
    let subject = replica::ping(service, silent.id);
    if bus
        .transport
        .request(&subject, Present::question(), None, &expected)
        .await
        .is_err()
    {
        return Sign::Unknown;
    }
    match expected.next().await {
        Some(Heard::Answer(Some(replica), _)) => {
            bus.roster.heard(service, &replica, Instant::now());
            Sign::Present
        }
        Some(Heard::Nobody) => Sign::Gone,
        Some(_) | None => Sign::Unknown,
    }
}
