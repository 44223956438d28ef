//! Replicas of a service: who they are, and what a request says about itself so that it can be repeated.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

/// Longest host name that is kept of a replica, in bytes.
const HOST_BYTES_MAX: usize = 64;

/// One process that serves requests, by an id that it drew at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ReplicaId(u64);

impl ReplicaId {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// A replica with the place where an operator finds it; written `ID HOST:PROCESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) id: ReplicaId,
    /// Host name and process id.
    pub(super) place: String,
}

impl Replica {
    /// This process, under a new id.
    pub(super) fn here() -> Self {
        let place = format!("{}:{}", host(), std::process::id());
        Self {
            id: ReplicaId::random(),
            place,
        }
    }
}

impl fmt::Display for Replica {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.id, self.place)
    }
}

/// The text names no replica.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoReplica;

impl FromStr for Replica {
    type Err = NoReplica;

    fn from_str(text: &str) -> Result<Self, NoReplica> {
        let (id, place) = text.split_once(' ').ok_or(NoReplica)?;
        let id = u64::from_str_radix(id, 16).map_err(|_| NoReplica)?;
        let place = place
            .chars()
            .filter(|letter| letter.is_ascii_graphic())
            .take(2 * HOST_BYTES_MAX);
        Ok(Self {
            id: ReplicaId(id),
            place: place.collect(),
        })
    }
}

/// This machine's name, cut to what fits in a header.
fn host() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = told
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let name: String = name
        .chars()
        .filter(char::is_ascii_graphic)
        .take(HOST_BYTES_MAX)
        .collect();
    if name.is_empty() { "host".into() } else { name }
}

/// What a request says about itself. Written `REQUEST/TRY/MILLISECONDS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request, the same in each try.
    pub request: Uuid,
    /// 1 for the first try; another replica may have handled the request before any later one.
    pub attempt: u32,
    /// How long the caller waits for the answer to this try.
    pub within: Duration,
}

impl Asked {
    /// Whether another replica may have handled this request already.
    pub fn is_repeated(&self) -> bool {
        self.attempt > 1
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{}/{}",
            self.request.simple(),
            self.attempt,
            self.within.as_millis()
        )
    }
}

impl FromStr for Asked {
    type Err = NotAsked;

    fn from_str(text: &str) -> Result<Self, NotAsked> {
        let parse = || {
            let mut parts = text.splitn(3, '/');
            let request = parts.next()?.parse().ok()?;
            let attempt = parts.next()?.parse().ok()?;
            let within = Duration::from_millis(parts.next()?.parse().ok()?);
            Some(Self {
                request,
                attempt,
                within,
            })
        };
        parse().ok_or(NotAsked)
    }
}

/// The text says nothing about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not REQUEST/TRY/MILLISECONDS")]
pub struct NotAsked;

/// The service that serves `subject`, and the verb; none if the subject is not `astral.SERVICE.VERB`.
pub(super) fn service_and_verb(subject: &str) -> Option<(&str, &str)> {
    let (service, verb) = subject.strip_prefix("astral.")?.split_once('.')?;
    (!verb.contains('.')).then_some((service, verb))
}

/// The verb by which a replica is asked whether it answers at all.
const PING: &str = "ping";

/// Where every replica of `service` is asked whether it answers.
pub(super) fn roll_call(service: &str) -> String {
    format!("astral.{service}.{PING}")
}

/// Where one replica is asked whether it answers.
pub(super) fn ping(service: &str, replica: ReplicaId) -> String {
    own_subject(service, replica, PING)
}

/// Where one replica of `service` takes requests.
pub(super) fn own_subject(service: &str, replica: ReplicaId, verb: &str) -> String {
    format!("astral.{service}.{replica}.{verb}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_reads_what_it_writes() {
        let here = Replica::here();
        assert_eq!(here.to_string().parse(), Ok(here));
        for bad in ["", "7", "x y", " host:1"] {
            assert_eq!(bad.parse::<Replica>(), Err(NoReplica), "{bad}");
        }
        let long = format!("7 {}", "x".repeat(9_000))
            .parse::<Replica>()
            .unwrap();
        assert_eq!(long.place.len(), 2 * HOST_BYTES_MAX);
    }

    #[test]
    fn a_request_reads_what_it_writes() {
        let asked = Asked {
            request: Uuid::from_u128(7),
            attempt: 2,
            within: Duration::from_millis(350),
        };
        assert_eq!(asked.to_string().parse(), Ok(asked));
        for bad in ["", "7", "7/1", "00000000000000000000000000000007/1/x"] {
            assert_eq!(bad.parse::<Asked>(), Err(NotAsked), "{bad}");
        }
    }

    #[test]
    fn a_subject_names_its_service_and_verb() {
        assert_eq!(
            service_and_verb("astral.ticket-broker.request"),
            Some(("ticket-broker", "request"))
        );
        for other in [
            "astral.directory",
            "astral.directory.0a.get",
            "elsewhere.directory.get",
        ] {
            assert_eq!(service_and_verb(other), None, "{other}");
        }
    }
}
