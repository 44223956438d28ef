//! Calls of one round trip each, for who knows what is there, or need not.

use super::{State, Store, Unknown, Versioned, Write, decode, encode};
use astral_proto::{Code, Problem};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use std::time::Duration;

/// Which write of an entry it was, and what that entry holds beyond what this version of Astral understands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Version {
    /// None if there was no entry.
    number: Option<u64>,
    unknown: Option<Arc<Unknown>>,
}

impl Version {
    fn of<T: Serialize>(number: u64, stored: &Bytes, value: &T) -> Self {
        let unknown = Unknown::of(Some(stored), Some(value)).map(Arc::new);
        Self {
            number: Some(number),
            unknown,
        }
    }

    /// The version of the next write, which stored `value` as `stored`. Only an entry with something unknown can keep any.
    fn followed_by<T: Serialize>(&self, number: u64, stored: &Bytes, value: &T) -> Self {
        match &self.unknown {
            None => Self {
                number: Some(number),
                unknown: None,
            },
            Some(_) => Self::of(number, stored, value),
        }
    }
}

impl State {
    /// Most entries that one [`State::get_many`] gives.
    pub const GET_ITEMS_MAX: usize = 1_000;
    /// Most entries that one [`State::remove_many`] takes, so that no other call waits long for it.
    pub const REMOVE_ITEMS_MAX: usize = 100;

    /// The entry `id`, none if there is none or its lease has ended, with what [`State::put_if`] takes to change it.
    ///
    /// # Errors
    /// As [`State::get`].
    pub async fn get_versioned<T: Serialize + DeserializeOwned>(
        &self,
        collection: &str,
        id: &str,
    ) -> Result<(Option<T>, Version), Problem> {
        match self.read(collection, id).await? {
            None => Ok((None, Version::default())),
            Some(Versioned { bytes, version }) => {
                let value = decode(collection, id, &bytes)?;
                let version = Version::of(version, &bytes, &value);
                Ok((Some(value), version))
            }
        }
    }

    /// Makes the entry `id` this `value`, for `ttl`, if it is still at `version`; the version that it has then, none if
    /// another writer came between or its lease has ended. What `version` holds beyond `T` is kept.
    ///
    /// # Errors
    /// `bad_request` if the value is over 1 MiB. After `timeout` it is not known whether it was written.
    pub async fn put_if<T: Serialize>(
        &self,
        collection: &str,
        id: &str,
        version: &Version,
        value: &T,
        ttl: Option<Duration>,
    ) -> Result<Option<Version>, Problem> {
        let bytes = encode(collection, id, value, version.unknown.as_deref())?;
        let write = Write::Put {
            bytes: bytes.clone(),
            ttl,
        };
        let writing = async {
            match &self.store {
                Store::Local(store) => Ok(store.write_if(collection, id, version.number, write)),
                Store::Redis(store) => store.write_if(collection, id, version.number, write).await,
            }
        };
        let written = self.run("write", collection, writing).await?;
        Ok(written.map(|number| version.followed_by(number, &bytes, value)))
    }

    /// Makes the entry `id` this `value`, for `ttl`, whatever was there: for entries that are written whole each time, from
    /// what a node has just said.
    ///
    /// # Errors
    /// `bad_request` if the value is over 1 MiB.
    pub async fn put<T: Serialize>(
        &self,
        collection: &str,
        id: &str,
        value: &T,
        ttl: Option<Duration>,
    ) -> Result<(), Problem> {
        let write = Write::Put {
            bytes: encode(collection, id, value, None)?,
            ttl,
        };
        let writing = async {
            match &self.store {
                Store::Local(store) => {
                    store.write(collection, id, write);
                    Ok(())
                }
                Store::Redis(store) => store.write(collection, id, write).await,
            }
        };
        self.run("write", collection, writing).await
    }

    /// Removes the entries of `ids`, those that there are.
    ///
    /// # Errors
    /// `bad_request` for more than [`State::REMOVE_ITEMS_MAX`].
    pub async fn remove_many(&self, collection: &str, ids: &[&str]) -> Result<(), Problem> {
        if ids.len() > Self::REMOVE_ITEMS_MAX {
            let detail = format!(
                "{} entries at once are over the limit of {}",
                ids.len(),
                Self::REMOVE_ITEMS_MAX
            );
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let removing = async {
            match &self.store {
                _ if ids.is_empty() => Ok(0),
                Store::Local(store) => {
                    Ok(ids.iter().filter(|id| store.remove(collection, id)).count())
                }
                Store::Redis(store) => store.remove(collection, ids).await,
            }
        };
        self.run("remove", collection, removing).await.map(|_| ())
    }

    /// The entries of `ids`, in their order, all as of one moment; none where there is none.
    ///
    /// # Errors
    /// `bad_request` for more than [`State::GET_ITEMS_MAX`]; `internal` if an entry is not a `T`.
    pub async fn get_many<T: DeserializeOwned>(
        &self,
        collection: &str,
        ids: &[String],
    ) -> Result<Vec<Option<T>>, Problem> {
        if ids.len() > Self::GET_ITEMS_MAX {
            let detail = format!(
                "{} entries at once are over the limit of {}",
                ids.len(),
                Self::GET_ITEMS_MAX
            );
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let reading = async {
            match &self.store {
                _ if ids.is_empty() => Ok(vec![]),
                Store::Local(store) => Ok(store.read_many(collection, ids)),
                Store::Redis(store) => store.read_many(collection, ids).await,
            }
        };
        let found = self.run("read", collection, reading).await?;
        let read = |(id, bytes): (&String, Option<Bytes>)| {
            bytes
                .map(|bytes| decode(collection, id, &bytes))
                .transpose()
        };
        ids.iter().zip(found).map(read).collect()
    }
}
