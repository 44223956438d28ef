//! The replicas of each service as this process knows them: from their answers, and from who is silent.

use super::replica::{Replica, ReplicaId};
use astral_runtime::lock;
use rand::seq::IteratorRandom;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Replicas of one service that are remembered; over that, the one heard of least lately is forgotten.
const REPLICAS_MAX: usize = 64;

/// Where a try of a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To any replica.
    Any,
    /// To this one.
    One(ReplicaId),
}

/// The replicas of every service that this process asks.
#[derive(Default)]
pub(super) struct Roster {
    services: Mutex<HashMap<String, Service>>,
}

#[derive(Default)]
struct Service {
    replicas: BTreeMap<ReplicaId, Known>,
    /// One roll call at a time serves all who wait.
    roll_call: std::sync::Arc<tokio::sync::Mutex<Option<Instant>>>,
}

struct Known {
    place: String,
    heard_at: Instant,
    /// Whether it did not answer when it was last asked, and has not since.
    is_silent: bool,
    /// Whether requests wait in it for others to be handled.
    is_busy: bool,
}

/// What to do about a request on which nobody has said a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask this replica.
    Ask(ReplicaId),
    /// It may wait in a replica that is busy, or there is nobody else to ask.
    Wait,
}

impl Roster {
    /// A replica has answered at `now`, or said that it is at work.
    pub(super) fn heard(&self, service: &str, replica: &Replica, now: Instant) {
        self.take_in(service, replica, now);
    }

    /// A replica has answered a roll call at `now`, and said whether it is busy.
    pub(super) fn present(&self, service: &str, replica: &Replica, is_busy: bool, now: Instant) {
        self.take_in(service, replica, now);
        let mut services = self.services();
        let known = services
            .get_mut(service)
            .and_then(|service| service.replicas.get_mut(&replica.id));
        if let Some(known) = known {
            known.is_busy = is_busy;
        }
    }

    fn take_in(&self, service: &str, replica: &Replica, now: Instant) {
        let mut services = self.services();
        let known = &mut services.entry(service.to_owned()).or_default().replicas;
        if known.len() >= REPLICAS_MAX && !known.contains_key(&replica.id) {
            let oldest = known
                .iter()
                .min_by_key(|(_, known)| known.heard_at)
                .map(|(id, _)| *id);
            oldest.and_then(|id| known.remove(&id));
        }
        let new = || Known {
            place: replica.place.clone(),
            heard_at: now,
            is_silent: false,
            is_busy: false,
        };
        let known = known.entry(replica.id).or_insert_with(new);
        known.heard_at = now;
        known.is_silent = false;
    }

    /// Where to send the next request: to any replica, unless one is silent: then to one that is not.
    pub(super) fn target(&self, service: &str) -> Target {
        let services = self.services();
        let Some(known) = services.get(service).map(|service| &service.replicas) else {
            return Target::Any;
        };
        if known.values().all(|known| !known.is_silent) {
            return Target::Any;
        }
        let answering = known
            .iter()
            .filter(|(_, known)| !known.is_silent)
            .map(|(id, _)| *id);
        answering
            .choose(&mut rand::rng())
            .map_or(Target::Any, Target::One)
    }

    /// Whom to ask next, after a roll call, about a request that went to `last` at `since` and was met with silence.
    /// While all answer, it waits in one that is busy if any is: only where none is, it has been lost.
    pub(super) fn next(&self, service: &str, since: Instant, last: Target) -> Next {
        let services = self.services();
        let Some(known) = services.get(service).map(|service| &service.replicas) else {
            return Next::Wait;
        };
        let answering = || {
            known
                .iter()
                .filter(|(_, known)| !known.is_silent && known.heard_at >= since)
        };
        if known.values().all(|known| !known.is_silent)
            && answering().any(|(_, known)| known.is_busy)
        {
            return Next::Wait;
        }
        let others = answering()
            .map(|(id, _)| *id)
            .filter(|id| Target::One(*id) != last);
        let other = others.choose(&mut rand::rng());
        other
            .or_else(|| answering().map(|(id, _)| *id).next())
            .map_or(Next::Wait, Next::Ask)
    }

    /// Whether every replica known has been heard of since `since`.
    pub(super) fn all_heard(&self, service: &str, since: Instant) -> bool {
        let services = self.services();
        let known = services.get(service).map(|service| &service.replicas);
        known.is_none_or(|known| known.values().all(|known| known.heard_at >= since))
    }

    /// Marks those not heard of since `since` as silent; gives those that were not silent before.
    pub(super) fn mark_silent(&self, service: &str, since: Instant) -> Vec<Replica> {
        let mut services = self.services();
        let Some(known) = services
            .get_mut(service)
            .map(|service| &mut service.replicas)
        else {
            return Vec::new();
        };
        let silent = known
            .iter_mut()
            .filter(|(_, known)| !known.is_silent && known.heard_at < since);
        let marked = silent.map(|(id, known)| {
            known.is_silent = true;
            Replica {
                id: *id,
                place: known.place.clone(),
            }
        });
        marked.collect()
    }

    /// A replica has gone for good, or has not: nobody listens on its own subject.
    pub(super) fn forget(&self, service: &str, replica: ReplicaId) {
        if let Some(service) = self.services().get_mut(service) {
            service.replicas.remove(&replica);
        }
    }

    /// The lock that a roll call of `service` holds, with the time of the last one.
    pub(super) fn roll_call(
        &self,
        service: &str,
    ) -> std::sync::Arc<tokio::sync::Mutex<Option<Instant>>> {
        self.services()
            .entry(service.to_owned())
            .or_default()
            .roll_call
            .clone()
    }

    fn services(&self) -> MutexGuard<'_, HashMap<String, Service>> {
        lock(&self.services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SERVICE: &str = "directory";

    fn replicas() -> [Replica; 2] {
        [(); 2].map(|()| Replica::here())
    }

    #[test]
    fn requests_go_to_any_replica_until_one_is_silent_and_again_once_it_answers() {
        let roster = Roster::default();
        let [one, other] = replicas();
        let start = Instant::now();
        assert_eq!(roster.target(SERVICE), Target::Any);
        roster.heard(SERVICE, &one, start);
        let later = start + Duration::from_secs(1);
        roster.heard(SERVICE, &other, later);
        assert_eq!(
            roster.mark_silent(SERVICE, later),
            std::slice::from_ref(&one)
        );
        assert_eq!(roster.mark_silent(SERVICE, later), [], "it is told of once");
        assert_eq!(roster.target(SERVICE), Target::One(other.id));
        assert_eq!(roster.target("elsewhere"), Target::Any);
        roster.heard(SERVICE, &one, later);
        assert_eq!(roster.target(SERVICE), Target::Any);
    }

    #[test]
    fn a_service_of_which_every_replica_is_silent_is_asked_as_one() {
        let roster = Roster::default();
        let [one, _] = replicas();
        let start = Instant::now();
        roster.heard(SERVICE, &one, start);
        roster.mark_silent(SERVICE, start + Duration::from_secs(1));
        assert_eq!(roster.target(SERVICE), Target::Any);
        assert_eq!(roster.next(SERVICE, start, Target::Any), Next::Wait);
    }

    #[test]
    fn the_next_try_goes_to_another_replica_if_one_answers() {
        let roster = Roster::default();
        let [one, other] = replicas();
        let start = Instant::now();
        roster.heard(SERVICE, &one, start);
        assert_eq!(
            roster.next(SERVICE, start, Target::One(one.id)),
            Next::Ask(one.id)
        );
        roster.heard(SERVICE, &other, start);
        assert_eq!(
            roster.next(SERVICE, start, Target::One(one.id)),
            Next::Ask(other.id)
        );
        roster.forget(SERVICE, other.id);
        assert_eq!(
            roster.next(SERVICE, start, Target::One(one.id)),
            Next::Ask(one.id)
        );
        let later = start + Duration::from_secs(1);
        assert_eq!(
            roster.next(SERVICE, later, Target::Any),
            Next::Wait,
            "nobody has answered since"
        );
    }

    #[test]
    fn a_request_is_not_repeated_while_it_may_wait_in_a_busy_replica() {
        let roster = Roster::default();
        let [one, other] = replicas();
        let start = Instant::now();
        roster.present(SERVICE, &one, true, start);
        assert_eq!(roster.next(SERVICE, start, Target::Any), Next::Wait);
        roster.heard(SERVICE, &other, start - Duration::from_secs(1));
        roster.mark_silent(SERVICE, start);
        assert_eq!(
            roster.next(SERVICE, start, Target::Any),
            Next::Ask(one.id),
            "the other may have it"
        );
    }

    #[test]
    fn replicas_that_come_and_go_are_not_remembered_without_end() {
        let roster = Roster::default();
        let start = Instant::now();
        for number in 0..1_000 {
            roster.heard(
                SERVICE,
                &Replica::here(),
                start + Duration::from_millis(number),
            );
        }
        assert_eq!(roster.services()[SERVICE].replicas.len(), REPLICAS_MAX);
        assert!(roster.all_heard(
            SERVICE,
            start + Duration::from_millis(1_000 - REPLICAS_MAX as u64)
        ));
    }
}
