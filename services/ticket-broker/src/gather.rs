//! First step of a ticket request: collects everything on which the choice of a provider depends.

use crate::broker::Broker;
use crate::carrier::Carriers;
use crate::error::Error;
use crate::fetch::fetch;
use crate::judge::Asker;
use crate::judge::fetch::supernode_to_fetch;
use crate::judge::why::Why;
use crate::snapshot::CandidateSnapshot;
use crate::store::relays::RelayRecord;
use astral_proto::message::{LEFT_MAX, RequestTicket};
use astral_proto::model::Role;
use astral_proto::{NodeId, Slug};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// Most providers that a request may exclude.
const EXCLUDE_MAX: usize = 64;

/// A relay that needs a ticket for a stream.
#[derive(Clone, Debug)]
pub struct TicketRequest {
    /// The id of the request. The ids of its tickets are computed from it.
    pub id: Uuid,
    /// The stream.
    pub slug: Slug,
    /// The relay.
    pub asker: Asker,
    /// Providers that failed the relay lately. It gets no standby there, but it may get a ticket
    /// for use.
    pub failed: BTreeSet<NodeId>,
    /// Whether the relay already carries the stream. If so, other relays may be below it.
    pub is_carrier: bool,
}

impl TicketRequest {
    /// A request that the broker makes for a relay, to replace a ticket for `slug`. Providers in
    /// `exclude` are not considered.
    pub fn for_relay(
        broker: &Broker,
        relay: &RelayRecord,
        slug: &Slug,
        exclude: BTreeSet<NodeId>,
    ) -> Self {
        Self {
            id: broker.env.uuid(),
            slug: slug.clone(),
            asker: asker(relay.node.uuid, Some(relay), exclude),
            failed: BTreeSet::new(),
            is_carrier: true,
        }
    }
}

/// The outcome of this step: a request, and the relays that may be considered for it.
#[derive(Clone)]
pub struct Candidates {
    /// The request.
    pub request: TicketRequest,
    /// The snapshot that the relays come from. Reservations are noted in it, so that other requests
    /// see them.
    pub snapshot: Arc<CandidateSnapshot>,
    /// The relays.
    pub carriers: Carriers,
    /// Lines that this step adds to the explanation of the ticket.
    pub why: Vec<Why>,
}

impl Candidates {
    /// The candidates that a snapshot has for a request.
    fn from_snapshot(
        broker: &Broker,
        request: TicketRequest,
        snapshot: Arc<CandidateSnapshot>,
        why: Vec<Why>,
    ) -> Self {
        let carriers = snapshot.shortlist(&request.asker, &mut broker.env.random());
        Self {
            request,
            snapshot,
            carriers,
            why,
        }
    }
}

/// Rejects a request that lists too many providers or tickets.
///
/// # Errors
/// [`Error::TooMany`].
pub fn check_size(ask: &RequestTicket) -> Result<(), Error> {
    check_count("excluded providers", ask.exclude.len(), EXCLUDE_MAX)?;
    check_count("returned tickets", ask.left.len(), LEFT_MAX)
}

fn check_count(what: &'static str, given: usize, max: usize) -> Result<(), Error> {
    if given > max {
        Err(Error::TooMany { what, given, max })
    } else {
        Ok(())
    }
}

/// Gathers the candidates for a request.
///
/// # Errors
/// Those of [`Snapshots::current`](crate::snapshot::Snapshots::current) and of the state.
pub async fn gather(broker: &Broker, ask: RequestTicket, id: Uuid) -> Result<Candidates, Error> {
    let relay = broker.store.relays.get(ask.subscriber).await?;
    let exclude = ask.exclude.into_iter().collect();
    let request = TicketRequest {
        id,
        asker: asker(ask.subscriber, relay.as_ref(), exclude),
        failed: failed_lately(broker, relay.as_ref()),
        is_carrier: relay.is_some_and(|relay| relay.streams.contains_key(&ask.slug)),
        slug: ask.slug,
    };
    let snapshot = broker.snapshots.current(&request.slug).await?;
    load_asker_paths(broker, &request, &snapshot).await?;
    let candidates = Candidates::from_snapshot(broker, request, snapshot, vec![]);
    let asker = &candidates.request.asker;
    match supernode_to_fetch(asker, &candidates.carriers) {
        Some(supernode) => Box::pin(after_fetch(broker, candidates, supernode)).await,
        None => Ok(candidates),
    }
}

/// Gathers again, from a newer snapshot, for a request that found no provider with room.
///
/// # Errors
/// As [`gather`].
pub async fn gather_again(broker: &Broker, old: Candidates) -> Result<Candidates, Error> {
    let Candidates { request, why, .. } = old;
    let snapshot = broker.snapshots.newer(&request.slug).await?;
    load_asker_paths(broker, &request, &snapshot).await?;
    Ok(Candidates::from_snapshot(broker, request, snapshot, why))
}

/// Gathers the candidates for another ticket of a relay that has one. The new ticket is compared
/// with the paths that lead to the relays `ends`, such as the present provider.
///
/// # Errors
/// Those of the state.
pub async fn gather_with_paths(
    broker: &Broker,
    request: TicketRequest,
    snapshot: Arc<CandidateSnapshot>,
    ends: &[NodeId],
) -> Result<Candidates, Error> {
    let to_load = request
        .asker
        .primary
        .into_iter()
        .chain(ends.iter().copied());
    broker
        .snapshots
        .load_ancestors(&request.slug, &snapshot, to_load)
        .await?;
    let mut candidates = Candidates::from_snapshot(broker, request, snapshot, vec![]);
    if !ends.is_empty() {
        let paths = candidates.snapshot.with_ancestors(ends);
        candidates.carriers.extend(paths);
    }
    Ok(candidates)
}

/// Adds to a snapshot what the rules need to know about the asker: the path of its primary
/// supernode, and its own path if it carries the stream.
async fn load_asker_paths(
    broker: &Broker,
    request: &TicketRequest,
    snapshot: &CandidateSnapshot,
) -> Result<(), Error> {
    let asker = &request.asker;
    let itself = request.is_carrier.then_some(asker.node);
    let nodes = asker.primary.into_iter().chain(itself);
    broker
        .snapshots
        .load_ancestors(&request.slug, snapshot, nodes)
        .await
}

/// Makes the asker's supernode fetch the stream, and returns the candidates afterwards. If the
/// fetch fails, `why` says so.
async fn after_fetch(
    broker: &Broker,
    candidates: Candidates,
    supernode: NodeId,
) -> Result<Candidates, Error> {
    let request = candidates.request;
    let fetched = fetch(broker, supernode, &request.slug).await;
    // The fetch may have taken seconds, so the old snapshot is out of date.
    let snapshot = broker.snapshots.current(&request.slug).await?;
    let mut why = Vec::new();
    match fetched {
        Ok(carrier) => snapshot.add([(supernode, carrier.into())].into()),
        Err(error) => {
            let sentence = format!("did not fetch the stream, {error}");
            why.push(Why::text(supernode, sentence));
        }
    }
    Ok(Candidates::from_snapshot(broker, request, snapshot, why))
}

/// What the rules need to know about the relay that asks. An unknown relay counts as an ordinary
/// node without a supernode.
pub fn asker(node: NodeId, relay: Option<&RelayRecord>, exclude: BTreeSet<NodeId>) -> Asker {
    Asker {
        node,
        role: relay.map_or(Role::Node, |relay| relay.node.role),
        primary: relay.and_then(|relay| relay.node.primary_supernode),
        rtts: relay
            .map(|relay| relay.rtts.iter().copied().collect())
            .unwrap_or_default(),
        exclude,
    }
}

/// The providers that failed a relay lately.
pub fn failed_lately(broker: &Broker, relay: Option<&RelayRecord>) -> BTreeSet<NodeId> {
    let now = broker.store.state.now();
    relay
        .into_iter()
        .flat_map(|relay| relay.failed_lately(now))
        .collect()
}
