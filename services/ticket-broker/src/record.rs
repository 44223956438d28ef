//! Last step of a ticket request: stores where the reserved ticket is, announces it, and signs it.

use crate::broker::Broker;
use crate::error::Error;
use crate::keys::Keys;
use crate::ledger::Entry;
use crate::reserve::Reservation;
use crate::snapshot::CandidateSnapshot;
use crate::store::locations::TicketLocation;
use astral_proto::message::{Offer, TicketChanged, event};
use astral_proto::ticket::Claims;
use astral_proto::{NodeId, Slug, TicketId};

/// Stores in whose ledger the ticket is, announces it, and returns it signed.
///
/// # Errors
/// Those of the state. The reservation then ends by itself, because it is never confirmed.
pub async fn record(broker: &Broker, reservation: Reservation<'_>) -> Result<Offer, Error> {
    let Reservation {
        candidates,
        id,
        provider,
        advertise,
        entry,
        why,
    } = reservation;
    let location = TicketLocation {
        provider,
        slug: entry.slug.clone(),
        why,
    };
    let upstream = async {
        if entry.standby {
            return Ok(());
        }
        let snapshot = &candidates.snapshot;
        record_upstream(broker, &entry.slug, snapshot, entry.subscriber, provider).await
    };
    tokio::try_join!(broker.store.locations.put(id, &location), upstream)?;
    let ticket = changed(id, provider, &entry);
    broker.publish(event::TICKET_CREATED, &ticket).await;
    Ok(sign(&broker.keys, id, provider, &entry, advertise))
}

/// Notes that a relay pulls from `provider`, before its next heartbeat reports it.
///
/// # Errors
/// Those of the state.
pub async fn record_upstream(
    broker: &Broker,
    slug: &Slug,
    snapshot: &CandidateSnapshot,
    node: NodeId,
    provider: NodeId,
) -> Result<(), Error> {
    let now = broker.store.state.now();
    snapshot.note_grant(node, provider, now);
    let carriers = &broker.store.carriers;
    carriers.note_upstream(slug, node, provider, now).await
}

/// Signs a ticket that is in the ledger of `provider`.
pub fn sign(
    keys: &Keys,
    id: TicketId,
    provider: NodeId,
    entry: &Entry,
    advertise: String,
) -> Offer {
    let claims = Claims {
        id,
        slug: entry.slug.clone(),
        provider,
        subscriber: entry.subscriber,
        standby: entry.standby,
        kbps: entry.kbps,
        expires_at: entry.valid_until,
    };
    keys.offer(&claims, advertise)
}

/// The body of an event about a ticket in the ledger of `provider`.
pub fn changed(id: TicketId, provider: NodeId, entry: &Entry) -> TicketChanged {
    TicketChanged {
        id,
        slug: entry.slug.clone(),
        provider,
        subscriber: entry.subscriber,
        standby: entry.standby,
    }
}
