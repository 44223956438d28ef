//! What a subscriber does with its tickets: confirm one, switch to a standby, give one up.

use crate::broker::Broker;
use crate::error::Error;
use crate::gather::{TicketRequest, asker, failed_lately, gather_with_paths};
use crate::judge::judge;
use crate::ledger::Ledger;
use crate::record::{changed, record_upstream};
use crate::repeat::offered_before;
use crate::store::ledgers::Outcome;
use astral_backend::Asked;
use astral_proto::message::{
    CancelTicket, ConfirmTicket, Offer, RequestTicket, Standby, SwitchTicket, TicketChanged, event,
};
use astral_proto::{NodeId, TicketId, UnixMillis};
use futures_util::future::try_join_all;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Notes that the link of a ticket is open.
///
/// # Errors
/// [`Error::NoTicket`] and [`Error::NotSubscriber`]; those of the state.
pub async fn confirm(broker: Broker, ask: ConfirmTicket) -> Result<(), Error> {
    let ConfirmTicket { id, subscriber } = ask;
    let (provider, slug) = broker.locate(id).await?;
    let ticket = TicketChanged {
        id,
        slug,
        provider,
        subscriber,
        standby: false,
    };
    put_in_use(&broker, ticket, Ledger::confirm).await
}

/// How a ledger puts a ticket of a subscriber in use.
type PutInUse = fn(&mut Ledger, TicketId, NodeId, UnixMillis) -> Result<(), Error>;

/// Changes the ledger of the provider of `ticket`, and announces that the ticket is in use.
async fn put_in_use(broker: &Broker, ticket: TicketChanged, change: PutInUse) -> Result<(), Error> {
    let id = ticket.id;
    let subscriber = ticket.subscriber;
    let now = broker.store.state.now();
    let change = move |ledger: &mut Ledger| Outcome::from(change(ledger, id, subscriber, now));
    let changed = broker.store.ledgers.update(ticket.provider, change).await?;
    changed.ok_or(Error::NoTicket(id))??;
    broker.publish(event::TICKET_CHANGED, &ticket).await;
    Ok(())
}

/// Makes a standby the ticket in use, releases the ticket that the subscriber left, and finds a new
/// standby.
///
/// # Errors
/// [`Error::OtherStream`]; those of [`Ledger::activate`] and of the state. It is not an error if no
/// new standby is found: the answer then contains none.
pub async fn switch(broker: Broker, ask: SwitchTicket, asked: Asked) -> Result<Standby, Error> {
    let id = ask.active;
    let subscriber = ask.subscriber;
    let (provider, slug) = broker.locate(id).await?;
    if slug != ask.slug {
        return Err(Error::OtherStream { id, slug });
    }
    let ticket = TicketChanged {
        id,
        slug,
        provider,
        subscriber,
        standby: false,
    };
    put_in_use(&broker, ticket, Ledger::activate).await?;
    let left = match ask.left {
        Some(left) => release(&broker, left, subscriber).await?,
        None => None,
    };
    // Another replica may have handled this request before it fell silent.
    if asked.is_repeated() {
        let standby = offered_before(&broker, asked.request, true).await?;
        if standby.is_some() {
            return Ok(Standby { standby });
        }
    }
    let standby = next_standby(&broker, &ask, asked.request, provider, left).await;
    Ok(Standby {
        standby: standby.ok(),
    })
}

/// Ends a ticket at the request of its subscriber or its provider.
///
/// # Errors
/// [`Error::NoTicket`] and [`Error::NotSubscriber`]; those of the state.
pub async fn cancel(broker: Broker, ask: CancelTicket) -> Result<(), Error> {
    let (provider, _) = broker.locate(ask.id).await?;
    cancel_at(&broker, provider, ask.id, ask.node).await
}

/// Releases the tickets that a relay had before it asks for a new one, so that nothing is reserved
/// for it twice. Notes which providers have failed it.
///
/// # Errors
/// As [`release`].
pub async fn release_former_tickets(broker: &Broker, ask: &RequestTicket) -> Result<(), Error> {
    if !ask.exclude.is_empty() {
        let relays = &broker.store.relays;
        relays.note_failed(ask.subscriber, &ask.exclude).await?;
    }
    let released = ask
        .left
        .iter()
        .map(|left| release(broker, *left, ask.subscriber));
    try_join_all(released).await?;
    Ok(())
}

/// Ends a ticket that its subscriber no longer uses, if it still exists. Returns its provider, if
/// that is known.
///
/// # Errors
/// [`Error::NotSubscriber`]; those of the state.
pub async fn release(
    broker: &Broker,
    id: TicketId,
    subscriber: NodeId,
) -> Result<Option<NodeId>, Error> {
    let Some((provider, _)) = broker.store.locations.find(id).await? else {
        return Ok(None);
    };
    match cancel_at(broker, provider, id, subscriber).await {
        Ok(()) | Err(Error::NoTicket(_)) => Ok(Some(provider)),
        Err(error) => Err(error),
    }
}

async fn cancel_at(
    broker: &Broker,
    provider: NodeId,
    id: TicketId,
    node: NodeId,
) -> Result<(), Error> {
    let now = broker.store.state.now();
    let cancel = move |ledger: &mut Ledger| Outcome::from(ledger.cancel(id, provider, node, now));
    let cancelled = broker.store.ledgers.update(provider, cancel).await?;
    let entry = cancelled.ok_or(Error::NoTicket(id))??;
    broker.store.locations.remove(id).await?;
    let ticket = changed(id, provider, &entry);
    broker.publish(event::TICKET_GONE, &ticket).await;
    // A provider that cancels closes the link itself, and a standby has no link.
    if node != provider && !entry.standby {
        broker.revoke(provider, id);
    }
    Ok(())
}

/// A new standby for a relay that has switched from the provider `left` to `active`.
async fn next_standby(
    broker: &Broker,
    ask: &SwitchTicket,
    request: Uuid,
    active: NodeId,
    left: Option<NodeId>,
) -> Result<Offer, Error> {
    let node = ask.subscriber;
    if let Some(left) = left {
        broker.store.relays.note_failed(node, &[left]).await?;
    }
    let relay = broker.store.relays.get(node).await?;
    let mut exclude = failed_lately(broker, relay.as_ref());
    exclude.extend(left);
    let request = TicketRequest {
        id: request,
        slug: ask.slug.clone(),
        asker: asker(node, relay.as_ref(), exclude),
        failed: BTreeSet::new(),
        is_carrier: true,
    };
    let snapshot = broker.snapshots.current(&ask.slug).await?;
    // Noted before the standbys are ranked, so that paths through this relay lead through its new
    // provider.
    record_upstream(broker, &ask.slug, &snapshot, node, active).await?;
    let candidates = gather_with_paths(broker, request, snapshot, &[active]).await?;
    broker.offer(&judge(&candidates).for_standby(active)).await
}
