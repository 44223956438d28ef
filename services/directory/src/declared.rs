//! Streams declared in a file, such as one from a Secret: put in place at start and whenever the file changes, and put
//! back when the state has lost them.
//!
//! ```toml
//! [[stream]]
//! slug = "demo"
//! key_sha256 = "3f9c0d7e5a1b2c48:5ff1…"   # 16 letters or digits of salt, and the SHA-256 of the salt and the key
//!
//! [[stream]]
//! slug = "hall"   # without a key: as for any other stream, REST may give it one
//! ```
//!
//! A key and its hash:
//! `key=$(openssl rand -hex 16); salt=$(openssl rand -hex 8); echo "$key"; echo "$salt:$(printf %s "$salt$key" | sha256sum | cut -d' ' -f1)"`.

use crate::change::Changed;
use crate::publish_key::StoredKey;
use crate::record::Record;
use astral_env::Env;
use astral_proto::message::FenceReason;
use astral_proto::{Slug, UnixMillis};
use astral_runtime::{lock, read_lock, write_lock};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::SystemTime;
use std::{fs, io};

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Most streams that a file may declare: a wipe of the state has them all put back at once.
pub const STREAMS_MAX: usize = 1_000;

/// Streams by name, each with its key if it has one.
pub type Streams = BTreeMap<Slug, Option<StoredKey>>;

/// When a file last changed, and how long it is.
type Stamp = Option<(SystemTime, u64)>;

/// The file of streams cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--streams-file {}: {why}", path.display())]
pub struct StreamsError {
    path: PathBuf,
    why: String,
}

/// The streams of a file, read again when it changes; none without a file.
pub struct Declared {
    streams: RwLock<Arc<Streams>>,
    as_of: AtomicU64,
    env: Env,
    file: Option<(PathBuf, Mutex<Stamp>)>,
}

impl Declared {
    /// No streams, and no file.
    pub fn none(env: Env) -> Self {
        Self {
            streams: RwLock::default(),
            as_of: AtomicU64::new(0),
            env,
            file: None,
        }
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// [`StreamsError`], which names the entry and quotes no key.
    pub fn read(path: &Path, env: Env) -> Result<Self, StreamsError> {
        let seen = stamp(path);
        let streams = read(path).map_err(|why| StreamsError {
            path: path.to_owned(),
            why,
        })?;
        tracing::info!(path = %path.display(), streams = streams.len(), "declared streams read");
        let as_of = AtomicU64::new(seen.map_or(0, |(modified, _)| unix_millis(modified).get()));
        let file = Some((path.to_owned(), Mutex::new(seen)));
        Ok(Self {
            streams: RwLock::new(Arc::new(streams)),
            as_of,
            env,
            file,
        })
    }

    /// As of when the file stands, Unix milliseconds: its date when it was read at start, and since then when it was
    /// seen to change, since one that is put back in place has an old date.
    pub fn as_of(&self) -> UnixMillis {
        UnixMillis::new(self.as_of.load(Ordering::Relaxed))
    }

    /// What is declared now.
    pub fn streams(&self) -> Arc<Streams> {
        read_lock(&self.streams).clone()
    }

    /// Reads the file again if it has changed; whether that is news. One that cannot be used changes nothing.
    pub fn look(&self) -> bool {
        let Some((path, seen)) = &self.file else {
            return false;
        };
        let now = stamp(path);
        if std::mem::replace(&mut *lock(seen), now) == now {
            return false;
        }
        match read(path) {
            Ok(streams) => {
                tracing::info!(path = %path.display(), streams = streams.len(), "declared streams read again");
                self.as_of.store(self.env.now().get(), Ordering::Relaxed);
                *write_lock(&self.streams) = Arc::new(streams);
                true
            }
            Err(why) => {
                tracing::error!(path = %path.display(), why, "declared streams stay: the file is no good");
                false
            }
        }
    }
}

/// What the declaration `fresh` makes of the stream that is `known`; none if it stays. The key of one that has another is
/// replaced only under `overrule`, and only by a file that is not older than the one which that other is from: replicas that
/// have yet to read the file, or start with an old one, do not undo it. That cuts its publisher off. One that has no key gets
/// its key back, since the state lost it, and goes on.
pub fn declared(
    known: Option<Record>,
    fresh: &Record,
    overrule: bool,
    now: UnixMillis,
) -> Option<Changed> {
    let Some(mut record) = known else {
        return Some(Changed {
            record: fresh.clone(),
            fence: None,
        });
    };
    let key = fresh
        .key
        .clone()
        .filter(|key| record.key.as_ref() != Some(key))?;
    let overrules = overrule && fresh.declared_at >= record.declared_at;
    let mut fence = None;
    if record.key.is_none() {
        record.key = Some(key);
    } else if overrules {
        fence = record.cut_off(FenceReason::KeyChanged);
        record.change_key(key, now);
    } else {
        return None;
    }
    record.declared_at = fresh.declared_at;
    Some(Changed { record, fence })
}

/// Changes when the file does, also where it is a link that is turned to another.
fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn unix_millis(date: SystemTime) -> UnixMillis {
    let since = date.duration_since(SystemTime::UNIX_EPOCH);
    UnixMillis::ZERO + since.unwrap_or_default()
}

fn read(path: &Path) -> Result<Streams, String> {
    let in_words = |error: io::Error| format!("it cannot be read: {error}");
    let bytes = fs::metadata(path).map_err(in_words)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!(
            "{bytes} bytes are over the limit of {FILE_BYTES_MAX}"
        ));
    }
    parse(&fs::read_to_string(path).map_err(in_words)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    stream: Vec<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    slug: Slug,
    key_sha256: Option<String>,
}

fn parse(text: &str) -> Result<Streams, String> {
    // The message alone: the rest of the error quotes the file.
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if file.stream.len() > STREAMS_MAX {
        return Err(format!(
            "{} streams are over the limit of {STREAMS_MAX}",
            file.stream.len()
        ));
    }
    let mut streams = Streams::new();
    for (index, value) in file.stream.into_iter().enumerate() {
        let name = value
            .get("slug")
            .and_then(toml::Value::as_str)
            .map(|slug| format!(" ({slug:?})"));
        let in_entry = |why: &str| {
            format!(
                "stream {}{}: {why}",
                index + 1,
                name.clone().unwrap_or_default()
            )
        };
        let Entry { slug, key_sha256 } = value
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| in_entry(error.message()))?;
        let key = key_sha256
            .map(|text| StoredKey::from_hashed(&text))
            .transpose();
        let key = key.map_err(|error| in_entry(&error.to_string()))?;
        if streams.insert(slug, key).is_some() {
            return Err(in_entry("it is declared twice"));
        }
    }
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{granted, next_grant};
    use astral_proto::model::StreamState;
    use astral_proto::{Incarnation, NodeId};

    /// As `sha256sum` gives it for the salt `0123456789abcdef` and the key `secret`.
    const SECRET: &str =
        "0123456789abcdef:c5310e3d1e5823ef77ce3a5804988a72fc60c307a0c8959f3461e202e4a8d814";

    fn record(key: Option<&str>) -> Record {
        let key = key.map(|key| StoredKey::new(key, [7; 16]).unwrap());
        Record::new("demo".parse().unwrap(), key, 0, UnixMillis::new(0))
    }

    #[test]
    fn a_file_names_streams_and_the_hashes_of_their_keys() {
        let text = format!(
            "[[stream]]\nslug = \"demo\"\nkey_sha256 = {SECRET:?}\n[[stream]]\nslug = \"hall\"\n"
        );
        let streams = parse(&text).unwrap();
        let key = |slug: &str| streams[&slug.parse::<Slug>().unwrap()].clone();
        assert!(key("demo").unwrap().opens("secret") && !key("demo").unwrap().opens("guess"));
        assert_eq!((key("hall"), streams.len()), (None, 2));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_bad_entry_is_named_and_no_key_is_quoted() {
        let secret = "a-key-that-stands-here-in-the-clear";
        for (entry, said) in [
            (
                "slug = \"b\"\ncolour = 1".to_owned(),
                "stream 2 (\"b\"): unknown field `colour`",
            ),
            (
                format!("slug = \"b\"\nkey = {secret:?}"),
                "stream 2 (\"b\"): unknown field `key`",
            ),
            (
                format!("slug = \"b\"\nkey_sha256 = {secret:?}"),
                "stream 2 (\"b\"): key_sha256 is not",
            ),
            (
                "slug = \"a b\"".to_owned(),
                "stream 2 (\"a b\"): stream name \"a b\" must be",
            ),
            (
                "slug = \"demo\"".to_owned(),
                "stream 2 (\"demo\"): it is declared twice",
            ),
            (
                format!("key_sha256 = {SECRET:?}"),
                "stream 2: missing field `slug`",
            ),
            (
                "slug = \"b\"\n[[streams]]".to_owned(),
                "unknown field `streams`",
            ),
        ] {
            let why = parse(&format!(
                "[[stream]]\nslug = \"demo\"\n[[stream]]\n{entry}\n"
            ))
            .unwrap_err();
            assert!(why.contains(said) && !why.contains(secret), "{why}");
        }
    }

    #[test]
    fn a_file_declares_so_many_streams_at_most() {
        let file = |count: usize| {
            (0..count)
                .map(|number| format!("[[stream]]\nslug = \"s{number}\"\n"))
                .collect::<String>()
        };
        assert_eq!(parse(&file(STREAMS_MAX)).unwrap().len(), STREAMS_MAX);
        assert_eq!(
            parse(&file(STREAMS_MAX + 1)).unwrap_err(),
            "1001 streams are over the limit of 1000"
        );
    }

    fn becomes(known: Option<Record>, fresh: &Record, overrule: bool) -> Option<Record> {
        declared(known, fresh, overrule, UnixMillis::new(7)).map(|changed| changed.record)
    }

    fn live(record: Record) -> Record {
        let grant = next_grant(&record, &[], Incarnation::from_bits(1), UnixMillis::new(0));
        granted(record, grant, NodeId::random(), UnixMillis::new(9))
    }

    #[test]
    fn a_declaration_makes_a_stream_and_leaves_one_that_is_live_so() {
        let fresh = record(Some("secret"));
        assert_eq!(becomes(None, &fresh, false), Some(fresh.clone()));
        assert_eq!(becomes(Some(fresh.clone()), &fresh, true), None);
        let live = live(record(None));
        let keyed = Record {
            key: fresh.key.clone(),
            ..live.clone()
        };
        let changed = declared(Some(live.clone()), &fresh, false, UnixMillis::new(7));
        assert_eq!(
            changed,
            Some(Changed {
                record: keyed,
                fence: None
            }),
            "it was made anew by who knew no key"
        );
        assert_eq!(becomes(Some(live), &record(None), true), None);
    }

    #[test]
    fn another_key_is_overruled_when_the_file_is_read_and_not_after() {
        let fresh = record(Some("secret"));
        let other = record(Some("other"));
        assert_eq!(becomes(Some(other.clone()), &fresh, false), None);
        assert_eq!(becomes(Some(other.clone()), &fresh, true), Some(fresh));
        assert_eq!(
            becomes(Some(other), &record(None), true),
            None,
            "a key given by REST stays"
        );
    }

    #[test]
    fn another_key_in_the_file_cuts_the_publisher_off() {
        let before = live(record(Some("other")));
        let Changed { record, fence } = declared(
            Some(before.clone()),
            &record(Some("secret")),
            true,
            UnixMillis::new(7),
        )
        .unwrap();
        assert_eq!(
            (record.state, record.fence_reason),
            (StreamState::Grace, FenceReason::KeyChanged)
        );
        assert_eq!(
            fence,
            before.origin.map(|origin| (origin, before.epoch + 1))
        );
    }

    #[test]
    fn an_older_file_overrules_no_newer_one() {
        let at = |key: &str, declared_at: u64| Record {
            declared_at: UnixMillis::new(declared_at),
            ..record(Some(key))
        };
        let old = at("old", 1_000);
        let new = at("new", 2_000);
        assert_eq!(becomes(Some(new.clone()), &old, true), None);
        assert_eq!(becomes(Some(old), &new, true), Some(new.clone()));
        let by_rest = record(Some("other"));
        assert_eq!(becomes(Some(by_rest), &new, true), Some(new.clone()));
        let keyless = Record { key: None, ..new };
        let again = at("old", 1_000);
        assert_eq!(
            becomes(Some(keyless), &again, false),
            Some(again),
            "an old key is better than none"
        );
    }

    #[test]
    fn the_file_is_read_again_when_it_changes_and_only_if_it_is_good() {
        let path = std::env::temp_dir().join(format!("astral-streams-{}.toml", NodeId::random()));
        let holds = |text: &str| fs::write(&path, text).unwrap();
        holds("[[stream]]\nslug = \"demo\"\n");
        let declared = Declared::read(&path, Env::system()).unwrap();
        assert!(!declared.look());
        holds("no toml at all, but of another length");
        assert!(!declared.look());
        assert_eq!(declared.streams().len(), 1, "a bad file changes nothing");
        holds("[[stream]]\nslug = \"demo\"\n[[stream]]\nslug = \"hall\"\n");
        let file = fs::File::options().append(true).open(&path).unwrap();
        let began = declared.as_of();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(declared.look() && !declared.look());
        assert!(
            declared.as_of() >= began,
            "the date of one from a backup says nothing"
        );
        assert_eq!(declared.streams().len(), 2);
        fs::remove_file(&path).unwrap();
        assert!(!declared.look());
        let why = Declared::read(&path, Env::system())
            .err()
            .unwrap()
            .to_string();
        assert!(
            why.starts_with(&format!(
                "--streams-file {}: it cannot be read",
                path.display()
            )),
            "{why}"
        );
    }
}
