//! What Redis does when it is full. Entries must not be evicted: streams and their keys would vanish one by one.

use super::endpoint::Connection;
use ::redis::{RedisError, Value, cmd};
use astral_runtime::LogThrottle;
use std::fmt::{self, Display, Formatter};

/// The only policy that evicts nothing.
const KEEPS_ALL: &str = "noeviction";
/// What the policy stands behind in the answer of `INFO memory`.
const FIELD: &str = "maxmemory_policy:";
/// Each new connection would log it.
static WARNED: LogThrottle = LogThrottle::new();
/// Servers of a cluster whose policies are named.
const NAMED_MAX: usize = 4;

/// What is known of the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Policy {
    /// Nothing is known: it was not asked, or did not answer in time.
    #[default]
    Unknown,
    /// Nothing is evicted.
    KeepsAll,
    /// Entries are evicted, by these policies.
    Evicts(Vec<String>),
    /// It could not be read.
    Unreadable(String),
}

impl Policy {
    /// Whether entries may be evicted, as far as it is known.
    pub(super) fn evicts(&self) -> bool {
        matches!(self, Self::Evicts(_))
    }

    /// Logs what is wrong with it, if anything is.
    pub(super) fn tell(&self, place: &str) {
        if *self == Self::KeepsAll {
            return;
        }
        let Some(times) = WARNED.occurred(&format!("{place} {self}")) else {
            return;
        };
        match self {
            Self::Evicts(_) => tracing::warn!(
                place,
                maxmemory.policy = %self,
                times,
                "the state evicts entries when it is full, and then streams and keys vanish: set maxmemory-policy noeviction"
            ),
            _ => tracing::warn!(
                place,
                why = %self,
                times,
                "maxmemory-policy could not be checked: make sure that it is noeviction, or permit INFO"
            ),
        }
    }

    fn of(infos: &[String]) -> Self {
        let policies = infos.iter().flat_map(|info| info.lines());
        let policies: Vec<_> = policies
            .filter_map(|line| line.trim().strip_prefix(FIELD))
            .collect();
        if policies.is_empty() {
            return Self::Unreadable("INFO memory names no policy".into());
        }
        let evicting = policies.into_iter().filter(|policy| *policy != KEEPS_ALL);
        let evicting: Vec<_> = evicting.map(str::to_owned).take(NAMED_MAX).collect();
        if evicting.is_empty() {
            Self::KeepsAll
        } else {
            Self::Evicts(evicting)
        }
    }
}

impl Display for Policy {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => formatter.write_str("no answer"),
            Self::KeepsAll => formatter.write_str(KEEPS_ALL),
            Self::Evicts(policies) => formatter.write_str(&policies.join(",")),
            Self::Unreadable(why) => formatter.write_str(why),
        }
    }
}

/// Asks for the policy. `INFO` is permitted in more places than `CONFIG`, which hosted servers often take away.
pub(super) async fn read(connection: &mut Connection) -> Policy {
    let answer: Result<Value, RedisError> = cmd("INFO").arg("memory").query_async(connection).await;
    match answer {
        Ok(answer) => Policy::of(&texts(answer)),
        Err(error) => Policy::Unreadable(crate::fault::bounded(&error.to_string())),
    }
}

/// The texts in an answer: one from a server, one from each server of a cluster.
fn texts(answer: Value) -> Vec<String> {
    match answer {
        Value::BulkString(bytes) => vec![String::from_utf8_lossy(&bytes).into_owned()],
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => vec![text],
        Value::Array(answers) => answers.into_iter().flat_map(texts).collect(),
        Value::Map(answers) => answers
            .into_iter()
            .flat_map(|(_, answer)| texts(answer))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_that_evicts_is_enough() {
        let info = |policy| format!("# Memory\r\nused_memory:1\r\nmaxmemory_policy:{policy}\r\n");
        assert_eq!(
            Policy::of(&[info("noeviction"), info("noeviction")]),
            Policy::KeepsAll
        );
        let mixed = Policy::of(&[
            info("noeviction"),
            info("allkeys-lru"),
            info("volatile-ttl"),
        ]);
        assert_eq!(
            mixed,
            Policy::Evicts(vec!["allkeys-lru".into(), "volatile-ttl".into()])
        );
        assert!(mixed.evicts());
        assert!(matches!(
            Policy::of(&[String::new()]),
            Policy::Unreadable(_)
        ));
    }
}
