//! Who carries a stream. Beside what each relay says stands an index of those who may provide, in the order in which
//! they are wanted, so that a choice among a hundred thousand reads a few dozen of them.
//!
//! Entries of the index are `SLUG/ORIGIN/KIND/HOPS/NODE`. Ids are drawn at random, so whoever starts at a random id
//! draws at random. Both are leases that each heartbeat renews; an entry of the index that is out of date says nothing
//! but where to look.

use super::{Store, lease};
use crate::candidate_index::{BucketKind, bucket_of};
use crate::carrier::{Carrier, Carriers};
use crate::judge::why::short;
use astral_backend::State;
use astral_proto::limits::OFFER;
use astral_proto::message::Carried;
use astral_proto::model::Node;
use astral_proto::{NodeId, Problem, Slug};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::try_join;

const CARRIERS: &str = "carriers";
const UPSTREAMS: &str = "upstreams";
const CANDIDATES: &str = "candidates";
/// Candidates of each kind that are drawn for the requests of a moment.
const DRAWN_MAX: usize = 32;
/// Times that the relays above those read are read too. A path names all of them at once; only those that have moved
/// since it was told lead to others.
const LOOKS_UP_MAX: usize = 4;
/// Entries read at once where all are read.
const PAGE: usize = 1_000;
/// Most relays of one stream that are shown.
const SHOWN_MAX: usize = 10_000;

/// The last ticket that a relay was given.
#[derive(Serialize, Deserialize)]
struct Upstream {
    #[serde(rename = "p", with = "short")]
    provider: NodeId,
    #[serde(rename = "t")]
    at: u64,
}

impl Store {
    /// Keeps a relay's own word of how it carries a stream, listed as `candidate`. One that does not put itself last in
    /// the path is not believed.
    pub async fn hear_carrier(
        &self,
        carrier: &Carrier,
        candidate: Option<&str>,
    ) -> Result<(), Problem> {
        let Some(carried) = carrier.carried.as_ref() else {
            return Ok(());
        };
        if carrier.path().last() != Some(&carrier.node.uuid) {
            return Ok(());
        }
        let id = carrier_id(&carried.slug, carrier.node.uuid);
        try_join!(
            self.state.put(CARRIERS, &id, carrier, lease()),
            self.list_candidate(candidate)
        )?;
        Ok(())
    }

    async fn list_candidate(&self, candidate: Option<&str>) -> Result<(), Problem> {
        match candidate {
            Some(id) => self.state.put(CANDIDATES, id, &true, lease()).await,
            None => Ok(()),
        }
    }

    /// Takes a relay out of the index where it stands no longer.
    pub async fn unlist(&self, candidate: &str) -> Result<(), Problem> {
        self.state.remove(CANDIDATES, candidate).await.map(drop)
    }

    /// Notes that a relay has been given a ticket, before it can say so itself.
    pub async fn note_upstream(
        &self,
        slug: &Slug,
        node: NodeId,
        provider: NodeId,
        now: u64,
    ) -> Result<(), Problem> {
        self.state
            .put(
                UPSTREAMS,
                &carrier_id(slug, node),
                &Upstream { provider, at: now },
                Some(OFFER),
            )
            .await
    }

    /// Notes that a relay carries a stream no longer.
    pub async fn forget_carrier(&self, slug: &Slug, node: NodeId) -> Result<(), Problem> {
        let id = carrier_id(slug, node);
        try_join!(
            self.state.remove(CARRIERS, &id),
            self.state.remove(UPSTREAMS, &id)
        )?;
        Ok(())
    }

    /// Those to choose a provider among for a moment: some of each kind that have the stream from `origin`, the
    /// nearest to it first, with the relays above each. Reads a bounded number of entries, however many carry it.
    pub async fn nearest_candidates(
        &self,
        slug: &Slug,
        origin: NodeId,
        now: u64,
    ) -> Result<Carriers, Problem> {
        let (supernodes, nodes, crowded) = try_join!(
            self.nearest(slug, origin, BucketKind::Supernode),
            self.nearest(slug, origin, BucketKind::Node),
            self.nearest(slug, origin, BucketKind::Crowded),
        )?;
        let drawn = [supernodes, nodes, crowded].concat();
        self.with_ancestors(slug, drawn.into_iter().chain([origin]), now)
            .await
    }

    /// The relays `ends`, and those that the stream comes through to each.
    pub async fn with_ancestors(
        &self,
        slug: &Slug,
        ends: impl IntoIterator<Item = NodeId>,
        now: u64,
    ) -> Result<Carriers, Problem> {
        let mut found = Carriers::new();
        let mut asked = BTreeSet::new();
        let mut next: BTreeSet<NodeId> = ends.into_iter().collect();
        for _ in 0..=LOOKS_UP_MAX {
            next.retain(|node| asked.insert(*node));
            if next.is_empty() {
                break;
            }
            let read = self.read_carriers(slug, &next, now).await?;
            let above = |carrier: &Arc<Carrier>| {
                carrier
                    .path()
                    .iter()
                    .copied()
                    .chain(carrier.provider())
                    .collect::<Vec<_>>()
            };
            next = read.values().flat_map(above).collect();
            found.extend(read);
        }
        Ok(found)
    }

    async fn read_carriers(
        &self,
        slug: &Slug,
        nodes: &BTreeSet<NodeId>,
        now: u64,
    ) -> Result<Carriers, Problem> {
        let mut found = Carriers::new();
        let nodes: Vec<NodeId> = nodes.iter().copied().collect();
        for nodes in nodes.chunks(State::GET_ITEMS_MAX) {
            let ids: Vec<String> = nodes.iter().map(|node| carrier_id(slug, *node)).collect();
            let (said, granted) = try_join!(
                self.state.get_many::<Carrier>(CARRIERS, &ids),
                self.state.get_many::<Upstream>(UPSTREAMS, &ids),
            )?;
            let both = nodes.iter().zip(said.into_iter().zip(granted)).filter_map(
                |(node, (said, granted))| {
                    let granted = granted.map(|by| Carrier::granted(*node, by.provider, by.at));
                    Carrier::of(said, granted, now)
                },
            );
            found.extend(both.map(|carrier| (carrier.node.uuid, Arc::new(carrier))));
        }
        Ok(found)
    }

    /// Some of a kind: all of those nearest to the origin that fit, and of the next as many as are missing, drawn at
    /// random.
    async fn nearest(
        &self,
        slug: &Slug,
        origin: NodeId,
        kind: BucketKind,
    ) -> Result<Vec<NodeId>, Problem> {
        let prefix = kind_prefix(slug, origin, kind);
        let first = self.listed(&prefix, &prefix, DRAWN_MAX).await?;
        let Some(last) = first.last().filter(|_| first.len() == DRAWN_MAX) else {
            return Ok(nodes(&first));
        };
        let bucket = bucket_prefix(last);
        let (mut drawn, in_bucket): (Vec<_>, Vec<_>) = first
            .iter()
            .cloned()
            .partition(|id| bucket_prefix(id) != bucket);
        let missing = DRAWN_MAX - drawn.len();
        let at = format!("{bucket}{}", NodeId::random());
        let mut some = self.listed(bucket, &at, missing).await?;
        // Past the end of the bucket, its beginning follows.
        let wrapped = in_bucket
            .into_iter()
            .filter(|id| !some.contains(id))
            .take(missing - some.len())
            .collect::<Vec<_>>();
        some.extend(wrapped);
        drawn.extend(some);
        Ok(nodes(&drawn))
    }

    /// An origin that somebody has the stream from; for when nobody can say who its origin is.
    pub async fn some_origin(&self, slug: &Slug) -> Result<Option<NodeId>, Problem> {
        let prefix = format!("{slug}/");
        let first = self.listed(&prefix, &prefix, 1).await?;
        Ok(first
            .first()
            .and_then(|id| id.split('/').nth(1)?.parse().ok()))
    }

    async fn listed(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Problem> {
        let page: Vec<(String, bool)> = self.state.list(CANDIDATES, Some(after), limit).await?;
        Ok(page
            .into_iter()
            .map(|(id, _)| id)
            .take_while(|id| id.starts_with(prefix))
            .collect())
    }

    /// Everyone known to carry `slug`, to be shown.
    pub async fn all_carriers(&self, slug: &Slug) -> Result<Carriers, Problem> {
        let prefix = format!("{slug}/");
        let mut carriers = Carriers::new();
        let mut cursor = prefix.clone();
        while carriers.len() < SHOWN_MAX {
            let page: Vec<(String, Carrier)> =
                self.state.list(CARRIERS, Some(&cursor), PAGE).await?;
            let full = page.len() == PAGE;
            for (id, carrier) in page {
                if !id.starts_with(&prefix) {
                    return Ok(carriers);
                }
                cursor = id;
                carriers.insert(carrier.node.uuid, Arc::new(carrier));
            }
            if !full {
                break;
            }
        }
        Ok(carriers)
    }
}

/// Where a relay that carries a stream so stands in the index; nowhere if nobody may pull from it.
pub fn candidate_id(node: &Node, carried: &Carried) -> Option<String> {
    let carrier = Carrier::said(node.clone(), carried.clone(), None, 0);
    let (origin, kind, hops) = bucket_of(&carrier)?;
    Some(format!(
        "{}{hops:02}/{}",
        kind_prefix(&carried.slug, origin, kind),
        node.uuid
    ))
}

fn kind_prefix(slug: &Slug, origin: NodeId, kind: BucketKind) -> String {
    let kind = match kind {
        BucketKind::Origin => 'a',
        BucketKind::Supernode => 'b',
        BucketKind::Node => 'c',
        BucketKind::Crowded => 'd',
    };
    format!("{slug}/{origin}/{kind}/")
}

/// All but the relay, with the slash.
fn bucket_prefix(id: &str) -> &str {
    id.rfind('/').map_or(id, |slash| &id[..=slash])
}

fn nodes(ids: &[String]) -> Vec<NodeId> {
    ids.iter()
        .filter_map(|id| id.rsplit('/').next()?.parse().ok())
        .collect()
}

fn carrier_id(slug: &Slug, node: NodeId) -> String {
    format!("{slug}/{node}")
}
