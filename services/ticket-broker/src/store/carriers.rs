//! Which relays carry a stream, in the shared state.
//!
//! There are three collections. Their entries expire unless they are written again:
//!
//! - `carriers` has what each relay reports of each stream, at `SLUG/NODE`.
//! - `upstreams` has the provider of the last ticket that a relay was given, at `SLUG/NODE`. It is
//!   kept for 5 s, until the relay reports the provider itself.
//! - `candidates` is an index of the relays that may provide, in the order of preference:
//!   `SLUG/ORIGIN/KIND/HOPS/NODE`. A choice among a hundred thousand relays reads a few dozen of
//!   its keys. Node ids are random, so reading from a random id onwards is a random sample. A key
//!   that is out of date does no harm: it only says where to look.

use crate::candidate_index::{BucketKind, bucket_of};
use crate::carrier::{Carrier, Carriers};
use crate::error::Error;
use crate::judge::why::short;
use astral_backend::State;
use astral_env::Env;
use astral_proto::limits::{LEASE, OFFER};
use astral_proto::message::Carried;
use astral_proto::model::Node;
use astral_proto::{NodeId, Slug, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::try_join;

const CARRIERS: &str = "carriers";
const UPSTREAMS: &str = "upstreams";
const CANDIDATES: &str = "candidates";
/// Candidates of each kind that one snapshot contains.
const DRAWN_MAX: usize = 32;
/// How many times the relays above the relays just read are read too. A reported path names all
/// relays above at once, so a second round is needed only if some of them have moved since.
const ANCESTOR_ROUNDS_MAX: usize = 4;
/// Entries in one read when all carriers of a stream are listed.
const PAGE: usize = 1_000;
/// Most relays of one stream that its tree shows.
const SHOWN_MAX: usize = 10_000;

/// The provider of the last ticket that a relay was given.
#[derive(Serialize, Deserialize)]
struct Upstream {
    #[serde(rename = "p", with = "short")]
    provider: NodeId,
    #[serde(rename = "t")]
    at: UnixMillis,
}

/// The carriers of all streams. Cheap to clone.
#[derive(Clone)]
pub struct CarrierRecords {
    state: State,
    env: Env,
}

impl CarrierRecords {
    pub(super) fn new(state: State, env: Env) -> Self {
        Self { state, env }
    }

    /// Stores how a relay carries a stream, and lists it in the index under the key `candidate`.
    /// Ignores a relay that does not put itself last in the path.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn put(&self, carrier: &Carrier, candidate: Option<&str>) -> Result<(), Error> {
        let Some(carried) = carrier.carried.as_ref() else {
            return Ok(());
        };
        if carrier.path().last() != Some(&carrier.node.uuid) {
            return Ok(());
        }
        let id = carrier_id(&carried.slug, carrier.node.uuid);
        try_join!(
            self.state.put(CARRIERS, &id, carrier, Some(LEASE)),
            self.list(candidate)
        )?;
        Ok(())
    }

    /// Stores how a relay carries a stream when it was asked, between two heartbeats.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn put_answer(&self, node: Node, carried: Carried) -> Result<Carrier, Error> {
        let candidate = candidate_id(&node, &carried);
        let carrier = Carrier::reported(node, carried, None, self.state.now());
        self.put(&carrier, candidate.as_deref()).await?;
        Ok(carrier)
    }

    async fn list(&self, candidate: Option<&str>) -> Result<(), astral_proto::Problem> {
        match candidate {
            Some(id) => self.state.put(CANDIDATES, id, &true, Some(LEASE)).await,
            None => Ok(()),
        }
    }

    /// Removes a key from the index.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn unlist(&self, candidate: &str) -> Result<(), Error> {
        self.state.remove(CANDIDATES, candidate).await?;
        Ok(())
    }

    /// Notes that a relay has been given a ticket of `provider`, before it reports so itself.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn note_upstream(
        &self,
        slug: &Slug,
        node: NodeId,
        provider: NodeId,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let id = carrier_id(slug, node);
        let upstream = Upstream { provider, at: now };
        let put = self.state.put(UPSTREAMS, &id, &upstream, Some(OFFER));
        Ok(put.await?)
    }

    /// Notes that a relay no longer carries a stream.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn remove(&self, slug: &Slug, node: NodeId) -> Result<(), Error> {
        let id = carrier_id(slug, node);
        try_join!(
            self.state.remove(CARRIERS, &id),
            self.state.remove(UPSTREAMS, &id)
        )?;
        Ok(())
    }

    /// The relays for one snapshot. Of each kind, these are some relays that have the stream from
    /// `origin`, the nearest to it first, and the relays above each of them. The number of entries
    /// that this reads is limited, however many relays carry the stream.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn nearest_candidates(
        &self,
        slug: &Slug,
        origin: NodeId,
        now: UnixMillis,
    ) -> Result<Carriers, Error> {
        let (supernodes, nodes, full) = try_join!(
            self.sample(slug, origin, BucketKind::Supernode),
            self.sample(slug, origin, BucketKind::Node),
            self.sample(slug, origin, BucketKind::Full),
        )?;
        let drawn = [supernodes, nodes, full, vec![origin]].concat();
        self.with_ancestors(slug, drawn, now).await
    }

    /// The relays `nodes`, and those through which the stream comes to each.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn with_ancestors(
        &self,
        slug: &Slug,
        nodes: impl IntoIterator<Item = NodeId>,
        now: UnixMillis,
    ) -> Result<Carriers, Error> {
        let mut found = Carriers::new();
        let mut already_read = BTreeSet::new();
        let mut next: BTreeSet<NodeId> = nodes.into_iter().collect();
        for _ in 0..=ANCESTOR_ROUNDS_MAX {
            next.retain(|node| already_read.insert(*node));
            if next.is_empty() {
                break;
            }
            let carriers = self.read_carriers(slug, &next, now).await?;
            next = carriers
                .values()
                .flat_map(|carrier| carrier.path().iter().copied().chain(carrier.provider()))
                .collect();
            found.extend(carriers);
        }
        Ok(found)
    }

    async fn read_carriers(
        &self,
        slug: &Slug,
        nodes: &BTreeSet<NodeId>,
        now: UnixMillis,
    ) -> Result<Carriers, Error> {
        let mut found = Carriers::new();
        let nodes: Vec<NodeId> = nodes.iter().copied().collect();
        for nodes in nodes.chunks(State::GET_ITEMS_MAX) {
            let ids: Vec<String> = nodes.iter().map(|node| carrier_id(slug, *node)).collect();
            let (reported, upstreams) = try_join!(
                self.state.get_many::<Carrier>(CARRIERS, &ids),
                self.state.get_many::<Upstream>(UPSTREAMS, &ids),
            )?;
            for ((node, reported), upstream) in nodes.iter().zip(reported).zip(upstreams) {
                let granted =
                    upstream.map(|given| Carrier::newly_granted(*node, given.provider, given.at));
                if let Some(carrier) = Carrier::merged(reported, granted, now) {
                    found.insert(carrier.node.uuid, Arc::new(carrier));
                }
            }
        }
        Ok(found)
    }

    /// Up to [`DRAWN_MAX`] candidates of one kind. The first page of the index has the nearest
    /// ones. If that page is full, its last bucket may continue after the page. Then a random
    /// sample of that bucket is returned instead of its beginning, so that different calls find
    /// different relays.
    async fn sample(
        &self,
        slug: &Slug,
        origin: NodeId,
        kind: BucketKind,
    ) -> Result<Vec<NodeId>, Error> {
        let prefix = kind_prefix(slug, origin, kind);
        let first_page = self.keys(&prefix, &prefix, DRAWN_MAX).await?;
        let Some(last) = first_page.last().filter(|_| first_page.len() == DRAWN_MAX) else {
            return Ok(nodes_of(&first_page));
        };
        let bucket = bucket_prefix(last);
        let (mut drawn, in_bucket): (Vec<_>, Vec<_>) = first_page
            .iter()
            .cloned()
            .partition(|key| bucket_prefix(key) != bucket);
        let missing = DRAWN_MAX - drawn.len();
        let random_key = format!("{bucket}{}", self.env.node_id());
        let mut sample = self.keys(bucket, &random_key, missing).await?;
        // If the sample reached the end of the bucket, it continues at the beginning of the bucket,
        // which is on the first page.
        let wrapped: Vec<String> = in_bucket
            .into_iter()
            .filter(|key| !sample.contains(key))
            .take(missing - sample.len())
            .collect();
        sample.extend(wrapped);
        drawn.extend(sample);
        Ok(nodes_of(&drawn))
    }

    /// An origin from which some relay has the stream. Used when the directory cannot be asked.
    /// None if no relay has the stream.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn some_origin(&self, slug: &Slug) -> Result<Option<NodeId>, Error> {
        let prefix = format!("{slug}/");
        let first = self.keys(&prefix, &prefix, 1).await?;
        Ok(first
            .first()
            .and_then(|key| key.split('/').nth(1)?.parse().ok()))
    }

    /// Keys of the index that begin with `prefix`, after the key `after`.
    async fn keys(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let page: Vec<(String, bool)> = self.state.list(CANDIDATES, Some(after), limit).await?;
        Ok(page
            .into_iter()
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .collect())
    }

    /// All relays that carry a stream, up to [`SHOWN_MAX`].
    ///
    /// # Errors
    /// Those of the state.
    pub async fn all(&self, slug: &Slug) -> Result<Carriers, Error> {
        let prefix = format!("{slug}/");
        let mut carriers = Carriers::new();
        let mut cursor = prefix.clone();
        while carriers.len() < SHOWN_MAX {
            let page: Vec<(String, Carrier)> =
                self.state.list(CARRIERS, Some(&cursor), PAGE).await?;
            let is_full = page.len() == PAGE;
            for (id, carrier) in page {
                if !id.starts_with(&prefix) {
                    return Ok(carriers);
                }
                cursor = id;
                carriers.insert(carrier.node.uuid, Arc::new(carrier));
            }
            if !is_full {
                break;
            }
        }
        Ok(carriers)
    }
}

/// The key in the index of a relay that carries a stream. None if no relay may pull from it.
pub fn candidate_id(node: &Node, carried: &Carried) -> Option<String> {
    let carrier = Carrier::reported(node.clone(), carried.clone(), None, UnixMillis::ZERO);
    let (origin, kind, hops) = bucket_of(&carrier)?;
    let prefix = kind_prefix(&carried.slug, origin, kind);
    Some(format!("{prefix}{hops:02}/{}", node.uuid))
}

fn kind_prefix(slug: &Slug, origin: NodeId, kind: BucketKind) -> String {
    let kind = match kind {
        BucketKind::Origin => 'a',
        BucketKind::Supernode => 'b',
        BucketKind::Node => 'c',
        BucketKind::Full => 'd',
    };
    format!("{slug}/{origin}/{kind}/")
}

/// A key without its node, up to and including the slash.
fn bucket_prefix(key: &str) -> &str {
    key.rfind('/').map_or(key, |slash| &key[..=slash])
}

fn nodes_of(keys: &[String]) -> Vec<NodeId> {
    keys.iter()
        .filter_map(|key| key.rsplit('/').next()?.parse().ok())
        .collect()
}

fn carrier_id(slug: &Slug, node: NodeId) -> String {
    format!("{slug}/{node}")
}
