//! What happens to tickets when a node sends a heartbeat, and when it has gone.

use crate::broker::Broker;
use crate::carrier::Carrier;
use crate::error::Error;
use crate::judge::why::Why;
use crate::ledger::heartbeat::{StatedTicket, renew_held, restore_standby};
use crate::ledger::{Entry, Ledger, Moment};
use crate::push::{push_moves, push_standbys};
use crate::record::{changed, sign};
use crate::replace::{DueReviews, replacements};
use crate::store::ledgers::Outcome;
use crate::store::locations::TicketLocation;
use crate::store::relays::{RelayChanges, RelayRecord};
use astral_proto::message::{Heartbeat, HeldTicket, NodeGone, Offer, RenewTickets, Renewed, event};
use astral_proto::model::Node;
use astral_proto::{Kbps, NodeId, Slug, TicketId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Applies a heartbeat: the capacity of the node, the streams that it carries, the tickets that it
/// serves and holds.
///
/// # Errors
/// Those of the state.
pub async fn renew(broker: Broker, ask: RenewTickets) -> Result<Renewed, Error> {
    let node = ask.heartbeat.node;
    let now = broker.store.state.now();
    let ask = Arc::new(ask);
    let ticket_keys = broker.keys.public();
    let generation = broker.generation().await?;
    let Some(changes) = broker.store.relays.apply_heartbeat(&ask, now).await? else {
        return Ok(Renewed {
            ticket_keys,
            promised_kbps: broker.store.ledgers.promised_kbps(node).await?,
            generation,
            ..Renewed::default()
        });
    };
    let truce = broker.truce.holds();
    let at = Moment {
        now,
        truce,
        generation,
    };
    let promised_kbps = apply_to_own_ledger(&broker, &ask, at).await?;
    apply_streams(&broker, &ask, &changes, promised_kbps, now).await?;
    let renewal = renew_tickets(&broker, &ask.heartbeat, now).await?;
    let relay = RelayRecord {
        node: ask.node.clone(),
        rtts: ask.rtts.clone(),
        streams: changes.streams,
        holds: ask.heartbeat.holds.clone(),
        failed: changes.failed,
        sent_at: ask.heartbeat.sent_at,
        heard_at: now,
    };
    if changes.begins_to_drain {
        push_moves(&broker, node);
    }
    // During a truce the broker may not know all carriers either, so it does not look for better
    // tickets.
    let due = (!truce).then_some(&renewal.due);
    let replaced = replacements(&broker, &relay, &renewal.moves, due).await?;
    let mut lost = renewal.lost;
    if truce {
        // A ticket that its ledger lacks may be valid: the ledger may not be restored completely
        // yet.
        restore(&broker, node, &ask.heartbeat.holds, &lost, now).await?;
        lost.clear();
    }
    Ok(Renewed {
        resigned: renewal.resigned,
        lost,
        ticket_keys,
        replaced,
        promised_kbps,
        generation,
    })
}

/// Drops the tickets of a node that has gone. Those that it served are always dropped. Those that
/// it held are dropped only if it left by itself. If it is lost, they end with their leases
/// instead: the node and its providers may still work where this broker cannot hear them, and then
/// their links continue.
///
/// # Errors
/// Those of the state.
pub async fn node_gone(broker: &Broker, gone: &NodeGone) -> Result<(), Error> {
    let Some((relay, ledger)) = broker.store.remove_relay(gone.node).await? else {
        return Ok(());
    };
    if let Some(ledger) = ledger {
        push_standbys(broker, gone.node, &ledger);
    }
    if gone.lost {
        return Ok(());
    }
    let subscriber = gone.node;
    let now = broker.store.state.now();
    for provider in by_provider(&relay.holds).into_keys() {
        let drop_held =
            move |ledger: &mut Ledger| Outcome::Changed(ledger.drop_held_by(subscriber, now));
        let dropped = broker.store.ledgers.update(provider, drop_held).await?;
        forget_tickets(broker, provider, dropped.unwrap_or_default()).await?;
    }
    Ok(())
}

/// What a heartbeat changed for the tickets that its sender holds.
#[derive(Debug, Default)]
struct Renewal {
    /// Tickets with new tokens.
    resigned: Vec<Offer>,
    /// Tickets that are no longer valid.
    lost: Vec<TicketId>,
    /// Tickets that their providers can no longer serve.
    moves: Vec<TicketId>,
    /// Tickets for which it is time to look for a better provider.
    due: DueReviews,
}

/// Applies what a provider reports to its own ledger. Returns what it has promised now.
async fn apply_to_own_ledger(
    broker: &Broker,
    ask: &Arc<RenewTickets>,
    at: Moment,
) -> Result<Kbps, Error> {
    let provider = ask.heartbeat.node;
    let ledgers = &broker.store.ledgers;
    let (promised_kbps, links, removed) = ledgers.apply_heartbeat(ask, at).await?;
    forget_tickets(broker, provider, removed).await?;
    let adopted: BTreeSet<TicketId> = links.adopted.into_iter().collect();
    for link in &ask.heartbeat.serves {
        if adopted.contains(&link.id) {
            let reason = "its provider serves it";
            put_restored_location(broker, link.id, provider, &link.slug, reason).await?;
        }
    }
    for id in links.ended {
        // The first revocation may not have arrived.
        broker.revoke(provider, id);
    }
    Ok(promised_kbps)
}

/// Stores how a relay carries its streams.
async fn apply_streams(
    broker: &Broker,
    ask: &RenewTickets,
    changes: &RelayChanges,
    promised_kbps: Kbps,
    now: UnixMillis,
) -> Result<(), Error> {
    let carriers = &broker.store.carriers;
    let node = Node {
        promised_kbps,
        ..ask.node.clone()
    };
    for carried in &ask.heartbeat.streams {
        let Some(place) = changes.streams.get(&carried.slug) else {
            continue;
        };
        let carrier = Carrier {
            since: place.since,
            ..Carrier::reported(node.clone(), carried.clone(), None, now)
        };
        carriers.put(&carrier, place.candidate.as_deref()).await?;
    }
    for slug in &changes.dropped {
        carriers.remove(slug, node.uuid).await?;
    }
    for candidate in &changes.unlisted {
        carriers.unlist(candidate).await?;
    }
    Ok(())
}

/// Renews the tickets that a subscriber holds, one provider after the other.
async fn renew_tickets(
    broker: &Broker,
    heartbeat: &Heartbeat,
    now: UnixMillis,
) -> Result<Renewal, Error> {
    let subscriber = heartbeat.node;
    let mut renewal = Renewal::default();
    for (provider, held) in by_provider(&heartbeat.holds) {
        let stated: Vec<StatedTicket> = held
            .iter()
            .map(|ticket| StatedTicket {
                id: ticket.id,
                flows: ticket.flows,
            })
            .collect();
        let renew = move |ledger: &mut Ledger| {
            let result = renew_held(ledger, &stated, subscriber, now);
            let to_sign: Vec<(TicketId, Entry)> = result
                .resign
                .iter()
                .filter_map(|id| Some((*id, ledger.tickets.get(id)?.clone())))
                .collect();
            let advertise = ledger.advertise.clone();
            if result.changed {
                Outcome::Changed((result, to_sign, advertise))
            } else {
                Outcome::Same((result, to_sign, advertise))
            }
        };
        let renewed = broker.store.ledgers.update(provider, renew).await?;
        let Some((result, to_sign, advertise)) = renewed else {
            // The provider has no ledger. If the link flows, the next heartbeat of the provider
            // reports it and creates the ledger. So only tickets whose links do not flow are lost.
            let silent = held.iter().filter(|ticket| !ticket.flows);
            renewal.lost.extend(silent.map(|ticket| ticket.id));
            continue;
        };
        renewal.lost.extend(result.lost);
        renewal.moves.extend(result.moves);
        renewal.due.standbys.extend(result.standbys_due);
        renewal.due.settled.extend(result.settled_due);
        for (id, entry) in to_sign {
            keep_location(broker, id, provider, &entry.slug).await?;
            let offer = sign(&broker.keys, id, provider, &entry, advertise.clone());
            renewal.resigned.push(offer);
        }
    }
    Ok(renewal)
}

/// Restores the standbys that a subscriber holds and that are missing from their ledgers. Tickets
/// in use are restored by the heartbeats of their providers.
async fn restore(
    broker: &Broker,
    subscriber: NodeId,
    holds: &[HeldTicket],
    lost: &[TicketId],
    now: UnixMillis,
) -> Result<(), Error> {
    let lost: BTreeSet<&TicketId> = lost.iter().collect();
    let missing = holds
        .iter()
        .filter(|held| held.standby && lost.contains(&held.id));
    for held in missing {
        let id = held.id;
        let slug = held.slug.clone();
        let restore = move |ledger: &mut Ledger| {
            Outcome::Changed(restore_standby(ledger, id, &slug, subscriber, now))
        };
        let provider = held.provider;
        let restored = broker.store.ledgers.update(provider, restore).await?;
        if restored.unwrap_or(false) {
            let reason = "its subscriber holds it as a standby";
            put_restored_location(broker, id, provider, &held.slug, reason).await?;
        }
    }
    Ok(())
}

/// Removes the locations of tickets that are no longer in the ledger of `provider`, announces that
/// they have ended, and tells the provider to close their links.
async fn forget_tickets(
    broker: &Broker,
    provider: NodeId,
    removed: Vec<(TicketId, Entry)>,
) -> Result<(), Error> {
    let ids: Vec<TicketId> = removed.iter().map(|(id, _)| *id).collect();
    broker.store.locations.remove_all(&ids).await?;
    for (id, entry) in removed {
        let ticket = changed(id, provider, &entry);
        broker.publish(event::TICKET_GONE, &ticket).await;
        if !entry.standby {
            broker.revoke(provider, id);
        }
    }
    Ok(())
}

/// Stores the location of a ticket again when the ticket gets a new token, so that the location is
/// kept at least as long as the token is valid.
async fn keep_location(
    broker: &Broker,
    id: TicketId,
    provider: NodeId,
    slug: &Slug,
) -> Result<(), Error> {
    match broker.store.locations.explained(id).await? {
        Some(location) => broker.store.locations.put(id, &location).await,
        None => put_restored_location(broker, id, provider, slug, "it was in use").await,
    }
}

/// Stores the location of a ticket that had been missing from its ledger.
async fn put_restored_location(
    broker: &Broker,
    id: TicketId,
    provider: NodeId,
    slug: &Slug,
    reason: &str,
) -> Result<(), Error> {
    let why = Why::text(
        provider,
        format!("{reason}, as reported after the ledger had lost it"),
    );
    let location = TicketLocation {
        provider,
        slug: slug.clone(),
        why: vec![why],
    };
    broker.store.locations.put(id, &location).await
}

fn by_provider(holds: &[HeldTicket]) -> BTreeMap<NodeId, Vec<&HeldTicket>> {
    let mut by_provider: BTreeMap<NodeId, Vec<&HeldTicket>> = BTreeMap::new();
    for held in holds {
        by_provider.entry(held.provider).or_default().push(held);
    }
    by_provider
}
