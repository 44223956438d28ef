//! Tickets and trees as users see them.

use super::Broker;
use crate::carrier::Carrier;
use crate::lag::{behind_ms, origin_of};
use crate::ledger::{self, Ledger};
use crate::store::TicketLocation;
use astral_proto::message::{GetStream, GetTree, ListTickets};
use astral_proto::model::{Page, Ticket, Tree, TreeRelay};
use astral_proto::{Code, NodeId, Problem, TicketId};
use std::collections::{HashMap, hash_map::Entry};
use std::time::Duration;

/// Most tickets in one page of a list.
const PAGE_MAX: u32 = 1_000;
/// Most tickets looked at for one page, of whatever stream.
const LOOKED_AT_MAX: usize = 10_000;
/// How long the directory may take.
const DIRECTORY_ANSWERS_WITHIN: Duration = Duration::from_millis(500);

impl Broker {
    /// Lists tickets by id. Of a stream among very many, a page may be short and still not be the last.
    ///
    /// # Errors
    /// `bad_request` if the limit is out of bounds.
    pub async fn list(self, ask: ListTickets) -> Result<Page<Ticket>, Problem> {
        if !(1..=PAGE_MAX).contains(&ask.limit) {
            let detail = format!("limit {} must be 1 to {PAGE_MAX}", ask.limit);
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let limit = ask.limit as usize;
        let mut ledgers = HashMap::new();
        let mut items = Vec::new();
        let mut cursor = ask.cursor;
        for _ in 0..LOOKED_AT_MAX / PAGE_MAX as usize {
            let places = self
                .store
                .places(cursor.as_deref(), PAGE_MAX as usize)
                .await?;
            let last_page = places.len() < PAGE_MAX as usize;
            for (id, place) in places {
                if items.len() == limit {
                    return Ok(Page {
                        items,
                        next_cursor: cursor,
                    });
                }
                cursor = Some(id.to_string());
                if ask.slug.as_ref().is_none_or(|slug| *slug == place.slug) {
                    items.extend(self.shown(&mut ledgers, id, place).await?);
                }
            }
            if last_page {
                return Ok(Page {
                    items,
                    next_cursor: None,
                });
            }
        }
        Ok(Page {
            items,
            next_cursor: cursor,
        })
    }

    /// A stream's relays as they said last.
    ///
    /// # Errors
    /// `not_found` if there is no such stream.
    pub async fn tree(self, ask: GetTree) -> Result<Tree, Problem> {
        let carriers = self.store.all_carriers(&ask.slug).await?;
        let origin = origin_of(carriers.values().map(|carrier| &**carrier));
        let mut relays: Vec<TreeRelay> = carriers
            .values()
            .filter_map(|carrier| tree_relay(carrier, origin))
            .collect();
        relays.sort_by_key(|relay| (relay.hops, relay.node));
        let epochs = carriers
            .values()
            .filter_map(|carrier| Some(carrier.carried.as_ref()?.epoch));
        let epoch = match epochs.max() {
            Some(epoch) => epoch,
            None => {
                let get = GetStream {
                    slug: ask.slug.clone(),
                };
                self.bus
                    .request(&get, DIRECTORY_ANSWERS_WITHIN)
                    .await?
                    .epoch
            }
        };
        Ok(Tree {
            slug: ask.slug,
            epoch,
            relays,
        })
    }

    async fn shown(
        &self,
        ledgers: &mut HashMap<NodeId, Option<Ledger>>,
        id: TicketId,
        place: TicketLocation,
    ) -> Result<Option<Ticket>, Problem> {
        let provider = place.provider;
        let ledger = match ledgers.entry(provider) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => unread.insert(self.store.ledger(provider).await?),
        };
        let ledger = ledger.as_ref();
        Ok(ledger
            .and_then(|ledger| ledger.tickets.get(&id))
            .map(|entry| ticket(id, place, entry)))
    }
}

fn ticket(id: TicketId, place: TicketLocation, entry: &ledger::Entry) -> Ticket {
    Ticket {
        id,
        slug: place.slug,
        provider: place.provider,
        subscriber: entry.subscriber,
        state: entry.state,
        standby: entry.standby,
        kbps: entry.kbps,
        hops: entry.hops,
        expires_at: entry.lease_until,
        why: place.why.iter().map(ToString::to_string).collect(),
    }
}

fn tree_relay(carrier: &Carrier, origin: Option<&Carrier>) -> Option<TreeRelay> {
    let carried = carrier.carried.as_ref()?;
    Some(TreeRelay {
        node: carrier.node.uuid,
        media_url: carrier.node.media_url.clone(),
        provider: carried
            .path
            .len()
            .checked_sub(2)
            .map(|index| carried.path[index]),
        standby: carried.standby,
        hops: carrier.hops(),
        newest: carried.newest,
        viewers: carried.viewers,
        silent_ms: carried.progress.map(|progress| progress.silent_ms),
        behind_ms: origin.and_then(|origin| behind_ms(carrier, origin)),
        as_of: carrier.as_of,
    })
}
