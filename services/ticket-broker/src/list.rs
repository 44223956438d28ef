//! Tickets as users see them.

use crate::broker::Broker;
use crate::error::Error;
use crate::ledger::{self, Ledger};
use crate::store::locations::TicketLocation;
use astral_proto::limits::PAGE_ITEMS_MAX;
use astral_proto::message::ListTickets;
use astral_proto::model::{Page, Ticket};
use astral_proto::{NodeId, TicketId};
use std::collections::{BTreeMap, btree_map};

/// Most tickets, of all streams, that are read for one page.
const READ_MAX: usize = 10_000;

/// Lists tickets in the order of their ids. If only the tickets of one stream are wanted, a page
/// may be short although more follow: it reads at most [`READ_MAX`] tickets. The last page has no
/// cursor.
///
/// # Errors
/// [`Error::PageSize`]; those of the state.
pub async fn list(broker: Broker, ask: ListTickets) -> Result<Page<Ticket>, Error> {
    if !(1..=PAGE_ITEMS_MAX).contains(&ask.limit) {
        return Err(Error::PageSize {
            limit: ask.limit,
            max: PAGE_ITEMS_MAX,
        });
    }
    let mut ledgers = BTreeMap::new();
    let mut page = Page {
        items: Vec::new(),
        next_cursor: ask.cursor,
    };
    let batch_size = PAGE_ITEMS_MAX as usize;
    for _ in 0..READ_MAX / batch_size {
        let cursor = page.next_cursor.as_deref();
        let batch = broker.store.locations.list(cursor, batch_size).await?;
        let is_last = batch.len() < batch_size;
        for (id, location) in batch {
            if page.items.len() == ask.limit as usize {
                return Ok(page);
            }
            page.next_cursor = Some(id.to_string());
            if ask.slug.as_ref().is_none_or(|slug| *slug == location.slug) {
                let ticket = read_ticket(&broker, &mut ledgers, id, location).await?;
                page.items.extend(ticket);
            }
        }
        if is_last {
            page.next_cursor = None;
            return Ok(page);
        }
    }
    Ok(page)
}

/// The ticket `id`. None if it has ended. `ledgers` has the ledgers that were read for this page.
async fn read_ticket(
    broker: &Broker,
    ledgers: &mut BTreeMap<NodeId, Option<Ledger>>,
    id: TicketId,
    location: TicketLocation,
) -> Result<Option<Ticket>, Error> {
    let provider = location.provider;
    let ledger = match ledgers.entry(provider) {
        btree_map::Entry::Occupied(read) => read.into_mut(),
        btree_map::Entry::Vacant(unread) => {
            unread.insert(broker.store.ledgers.get(provider).await?)
        }
    };
    let entry = ledger.as_ref().and_then(|ledger| ledger.tickets.get(&id));
    Ok(entry.map(|entry| ticket(id, location, entry)))
}

fn ticket(id: TicketId, location: TicketLocation, entry: &ledger::Entry) -> Ticket {
    Ticket {
        id,
        slug: location.slug,
        provider: location.provider,
        subscriber: entry.subscriber,
        state: entry.state,
        standby: entry.standby,
        kbps: entry.kbps,
        hops: entry.hops,
        expires_at: entry.lease_until,
        why: location.why.iter().map(ToString::to_string).collect(),
    }
}
