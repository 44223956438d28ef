//! State on Redis 7. Values are keys of their own, so that Redis ends each lease to the millisecond and drops what
//! nobody renews; beside them each collection has an index of its ids, which scripts keep, so that nothing is scanned.
//!
//! `astral:{COLLECTION}:entry:ID` is a string: 16 characters that the writer drew at random, which are its version, and
//! the JSON. `astral:{COLLECTION}:ids` and `astral:{COLLECTION}:leases` are sorted sets. The braces keep a collection
//! in one slot of Redis Cluster.

mod endpoint;
mod failure;
mod link;
mod policy;

use super::{Versioned, Write};
use crate::clock::Clock;
use crate::observe::may_lose_entries;
use ::redis::{AsyncCommands, Script, ScriptInvocation};
use astral_env::Env;
use astral_proto::{Code, Problem};
use bytes::Bytes;
use endpoint::Connection;
pub(crate) use endpoint::UrlError;
use link::Link;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Bytes of the version before each value.
const VERSION_BYTES: usize = 16;
/// What the script takes for "whatever version is there".
const ANY_VERSION: &str = "*";
/// What is written to see whether anything is.
const PROBES: &str = "probes";
const PROBE: &str = "write";
const PROBE_KEPT: Duration = Duration::from_secs(1);
/// A lease longer than this never ends: a century.
const LEASE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

static WRITE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("redis/reap.lua"),
        include_str!("redis/write.lua")
    ))
});
static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("redis/reap.lua"),
        include_str!("redis/remove.lua")
    ))
});
static LIST: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("redis/reap.lua"),
        include_str!("redis/list.lua")
    ))
});

/// Collections on one Redis.
pub(super) struct Store {
    link: Link,
}

impl Store {
    /// The Redis at `url`, whether or not it is there yet.
    pub(super) fn open(url: &str, env: Env) -> Result<Self, UrlError> {
        Ok(Self {
            link: Link::open(url, env)?,
        })
    }

    pub(super) fn clock(&self) -> Arc<Clock> {
        self.link.clock.clone()
    }

    /// Reads the clock, and tries whether anything is written.
    pub(super) async fn probe(&self) -> Result<(), Problem> {
        self.link
            .call(async |mut connection: Connection| self.link.read_clock(&mut connection).await)
            .await?;
        may_lose_entries(self.link.policy().evicts());
        let write = Write::Put {
            bytes: Bytes::from_static(b"1"),
            ttl: Some(PROBE_KEPT),
        };
        self.write(PROBES, PROBE, write).await
    }

    /// Fails while writes are refused: leases end that nobody can renew, so what is left says less than is true.
    pub(super) fn refuse_half_truths(&self) -> Result<(), Problem> {
        self.link.refusal().map_or(Ok(()), Err)
    }

    pub(super) async fn read(
        &self,
        collection: &str,
        id: &str,
    ) -> Result<Option<Versioned>, Problem> {
        let key = entry_key(collection, id);
        let read = async |mut connection: Connection| connection.get(key).await;
        let found: Option<Vec<u8>> = self.link.call(read).await?;
        found
            .map(|content| versioned(collection, id, content))
            .transpose()
    }

    /// Entries from the first one `after` the given id on. Each is as it was at some moment, not all at the same.
    pub(super) async fn list(
        &self,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, Problem> {
        let mut entries = Vec::new();
        let mut after = after.map(str::to_owned);
        while entries.len() < limit {
            let (next, page) = self
                .page(collection, after.as_deref(), limit - entries.len())
                .await?;
            entries.extend(page);
            if next.is_empty() {
                break;
            }
            after = Some(next);
        }
        Ok(entries)
    }

    pub(super) async fn read_many(
        &self,
        collection: &str,
        ids: &[String],
    ) -> Result<Vec<Option<Bytes>>, Problem> {
        let keys: Vec<String> = ids.iter().map(|id| entry_key(collection, id)).collect();
        let read = async |mut connection: Connection| connection.mget(&keys).await;
        let found: Vec<Option<Vec<u8>>> = self.link.call(read).await?;
        let found = ids.iter().zip(found).map(|(id, content)| {
            let versioned = content
                .map(|content| versioned(collection, id, content))
                .transpose()?;
            Ok(versioned.map(|versioned| versioned.bytes))
        });
        found.collect()
    }

    /// The new version if it has written.
    pub(super) async fn write_if(
        &self,
        collection: &str,
        id: &str,
        version: Option<u64>,
        write: Write,
    ) -> Result<Option<u64>, Problem> {
        self.run_write(
            collection,
            id,
            version.map_or(String::new(), version_text),
            write,
        )
        .await
    }

    /// Writes whatever is there.
    pub(super) async fn write(
        &self,
        collection: &str,
        id: &str,
        write: Write,
    ) -> Result<(), Problem> {
        self.run_write(collection, id, ANY_VERSION.into(), write)
            .await
            .map(drop)
    }

    async fn run_write(
        &self,
        collection: &str,
        id: &str,
        over: String,
        write: Write,
    ) -> Result<Option<u64>, Problem> {
        let new = rand::random();
        let (content, lease) = match write {
            Write::Put { bytes, ttl } => (content(new, &bytes), ttl.and_then(lease_millis)),
            Write::Remove => (Vec::new(), None),
        };
        let puts = !content.is_empty();
        let mut invocation = invocation(&WRITE, collection);
        invocation.key(entry_key(collection, id)).arg(over).arg(id);
        invocation
            .arg(content)
            .arg(lease.map_or(String::new(), |lease| lease.to_string()));
        let written: bool = self.run(&invocation).await?;
        // One that is full removes entries all the same.
        if written && puts {
            self.link.has_written();
        }
        Ok(written.then_some(new))
    }

    /// How many there were.
    pub(super) async fn remove(&self, collection: &str, ids: &[&str]) -> Result<usize, Problem> {
        let mut invocation = invocation(&REMOVE, collection);
        for id in ids {
            invocation.key(entry_key(collection, id)).arg(*id);
        }
        self.run(&invocation).await
    }

    /// Some of the entries after `after`, at most `limit`, and the id to go on after, empty at the end.
    async fn page(
        &self,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(String, Vec<(String, Bytes)>), Problem> {
        let mut invocation = invocation(&LIST, collection);
        let from = after.map_or("-".to_owned(), |after| format!("({after}"));
        let reply: Vec<Vec<u8>> = self
            .run(
                invocation
                    .arg(entry_key(collection, ""))
                    .arg(from)
                    .arg(limit),
            )
            .await?;
        let mut reply = reply.into_iter();
        let next = text(collection, reply.next().unwrap_or_default())?;
        let mut entries = Vec::new();
        while let (Some(id), Some(content)) = (reply.next(), reply.next()) {
            let id = text(collection, id)?;
            let value = versioned(collection, &id, content)?.bytes;
            entries.push((id, value));
        }
        Ok((next, entries))
    }

    async fn run<T: ::redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<T, Problem> {
        self.link
            .call(async |mut connection: Connection| invocation.invoke_async(&mut connection).await)
            .await
    }
}

fn entry_key(collection: &str, id: &str) -> String {
    format!("astral:{{{collection}}}:entry:{id}")
}

fn invocation<'a>(script: &'a Script, collection: &str) -> ScriptInvocation<'a> {
    let mut invocation = script.prepare_invoke();
    invocation
        .key(format!("astral:{{{collection}}}:ids"))
        .key(format!("astral:{{{collection}}}:leases"));
    invocation
}

/// `json` with its version, drawn at random, which no other write has, not even one before the memory was lost.
fn content(version: u64, json: &[u8]) -> Vec<u8> {
    [version_text(version).as_bytes(), json].concat()
}

fn version_text(version: u64) -> String {
    format!("{version:016x}")
}

/// A lease in whole milliseconds, none if it never ends. It is not over before its time, and not zero, which Redis
/// does not take.
fn lease_millis(ttl: Duration) -> Option<u128> {
    (ttl <= LEASE_MAX).then(|| ttl.as_nanos().div_ceil(1_000_000).max(1))
}

fn versioned(collection: &str, id: &str, content: Vec<u8>) -> Result<Versioned, Problem> {
    let bytes = Bytes::from(content);
    let version = bytes
        .get(..VERSION_BYTES)
        .and_then(|version| std::str::from_utf8(version).ok());
    match version.and_then(|version| u64::from_str_radix(version, 16).ok()) {
        Some(version) => Ok(Versioned {
            bytes: bytes.slice(VERSION_BYTES..),
            version,
        }),
        None => Err(Problem::new(
            Code::Internal,
            format!("{collection}/{id} has no version: not ours"),
        )),
    }
}

fn text(collection: &str, bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|_| {
        Problem::new(
            Code::Internal,
            format!("an id in {collection} is not UTF-8"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_rounded_up_and_never_zero() {
        for (ttl, millis) in [
            (Duration::ZERO, Some(1)),
            (Duration::from_micros(1500), Some(2)),
            (Duration::from_secs(6), Some(6000)),
            (Duration::MAX, None),
        ] {
            assert_eq!(lease_millis(ttl), millis, "{ttl:?}");
        }
    }

    #[test]
    fn content_that_is_not_ours_is_an_error() {
        for content in ["", "short", "0123456789abcdeg{}"] {
            let problem = versioned("tests", "a", content.into()).err().unwrap();
            assert_eq!(problem.code, Code::Internal, "{content}");
        }
    }
}
