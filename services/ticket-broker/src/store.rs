//! The broker's reads and writes.

use crate::carrier::{Carrier, Carriers};
use crate::ledger::{Entry, Ledger, Links, Moment, Refusal};
use astral_backend::{Change, State};
use astral_proto::limits::{HOPS_MAX, LEASE, TICKET_VALIDITY};
use astral_proto::message::{Carried, HeldTicket, RenewTickets};
use astral_proto::model::Node;
use astral_proto::{NodeId, Problem, Slug, TicketId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const LEDGERS: &str = "ledgers";
const RELAYS: &str = "relays";
const CARRIERS: &str = "carriers";
const TICKETS: &str = "tickets";
const GENERATION: &str = "ledger-generation";
const GENERATION_ID: &str = "now";
/// How long what is known of a relay outlives its lease, so that its tickets can be found and dropped.
const RELAY_KEPT: Duration = Duration::from_secs(60);
/// How long a ticket's place is known; it is put again whenever the ticket is signed again, which is sooner.
const PLACE_KEPT: Duration = Duration::from_secs(2 * TICKET_VALIDITY.as_secs());
/// Entries read at once where all are read.
const PAGE: usize = 1_000;
/// Most relays of one stream that are read to choose among.
const CARRIERS_MAX: usize = 10_000;

/// What a relay said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// The relay as the coordinator has it.
    pub node: Node,
    /// Round trips that it has measured, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
    /// What it carries.
    pub streams: Vec<Slug>,
    /// Tickets it pulls by or keeps as standby.
    pub holds: Vec<HeldTicket>,
    /// When it said so, by its own clock; 0 if it has only registered since.
    pub sent_at: u64,
}

/// Where a ticket is, and why there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Whose ledger it is in.
    pub provider: NodeId,
    /// The stream.
    pub slug: Slug,
    /// One line for each candidate considered.
    pub why: Vec<String>,
}

/// Relays, who carries what, ledgers and tickets in the shared state.
#[derive(Clone)]
pub struct Store(pub State);

impl Store {
    /// The generation of all ledgers: `fresh` if there is none, as at first and after a wipe.
    pub async fn generation(&self, fresh: u32) -> Result<u32, Problem> {
        if let Some(generation) = self.0.get(GENERATION, GENERATION_ID).await? {
            return Ok(generation);
        }
        let decide = |known: Option<u32>| match known {
            Some(generation) => Change::Keep(generation),
            None => Change::Put { value: fresh, ttl: None, result: fresh },
        };
        self.0.update(GENERATION, GENERATION_ID, decide).await
    }

    /// What a relay said last.
    pub async fn relay(&self, node: NodeId) -> Result<Option<Relay>, Problem> {
        self.0.get(RELAYS, &node.to_string()).await
    }

    /// Keeps what a relay says; gives the streams that it no longer carries, or none if it says nothing new.
    pub async fn hear_relay(&self, ask: &RenewTickets) -> Result<Option<Vec<Slug>>, Problem> {
        let said = &ask.heartbeat;
        let streams: Vec<Slug> = said.streams.iter().map(|carried| carried.slug.clone()).collect();
        let decide = |known: Option<Relay>| {
            let Relay { streams: had, holds, sent_at, .. } = known.unwrap_or_else(|| Relay::registered(ask));
            let (node, rtts) = (ask.node.clone(), ask.rtts.clone());
            if said.sent_at == 0 {
                // A registration: the node's clock may have been set back, and what it carries is not told yet.
                return put(Relay { node, rtts, streams: had, holds, sent_at: 0 }, None);
            }
            if said.sent_at <= sent_at {
                return Change::Keep(None);
            }
            let dropped = had.into_iter().filter(|slug| !streams.contains(slug)).collect();
            let holds = said.holds.clone();
            put(Relay { node, rtts, streams: streams.clone(), holds, sent_at: said.sent_at }, Some(dropped))
        };
        self.0.update(RELAYS, &said.node.to_string(), decide).await
    }

    /// Forgets a relay and its promises; what it said last.
    pub async fn forget_relay(&self, node: NodeId) -> Result<Option<Relay>, Problem> {
        let id = node.to_string();
        let relay = self.relay(node).await?;
        for slug in relay.iter().flat_map(|relay| &relay.streams) {
            self.forget_carrier(slug, node).await?;
        }
        self.0.remove(LEDGERS, &id).await?;
        self.0.remove(RELAYS, &id).await?;
        Ok(relay)
    }

    /// Everyone known to carry `slug`.
    pub async fn carriers(&self, slug: &Slug) -> Result<Carriers, Problem> {
        let prefix = format!("{slug}/");
        let mut carriers = Carriers::new();
        let mut cursor = prefix.clone();
        while carriers.len() < CARRIERS_MAX {
            let page: Vec<(String, Carrier)> = self.0.list(CARRIERS, Some(&cursor), PAGE).await?;
            let full = page.len() == PAGE;
            for (id, carrier) in page {
                if !id.starts_with(&prefix) {
                    return Ok(carriers);
                }
                cursor = id;
                carriers.insert(carrier.node.uuid, carrier);
            }
            if !full {
                break;
            }
        }
        Ok(carriers)
    }

    /// The relays that a stream comes through to each of `ends`, themselves included.
    pub async fn lines(&self, slug: &Slug, ends: [NodeId; 2]) -> Result<Carriers, Problem> {
        let mut found = Carriers::new();
        for end in ends {
            let mut next = Some(end);
            for _ in 0..=HOPS_MAX {
                let Some(node) = next.filter(|node| !found.contains_key(node)) else { break };
                let carrier: Option<Carrier> = self.0.get(CARRIERS, &carrier_id(slug, node)).await?;
                next = carrier.as_ref().and_then(Carrier::provider);
                found.extend(carrier.map(|carrier| (node, carrier)));
            }
        }
        Ok(found)
    }

    /// Keeps a relay's own word of how it carries a stream. One that does not put itself last in the path is not
    /// believed.
    pub async fn hear_carrier(&self, node: &Node, carried: &Carried, now: u64) -> Result<(), Problem> {
        if carried.path.last() != Some(&node.uuid) {
            return Ok(());
        }
        let decide = |known: Option<Carrier>| {
            let upstream = known.and_then(|carrier| carrier.upstream);
            lease(Carrier::said(node.clone(), carried.clone(), upstream, now), ())
        };
        self.0.update(CARRIERS, &carrier_id(&carried.slug, node.uuid), decide).await
    }

    /// Notes that a relay has been given a ticket, before it can say so itself.
    pub async fn note_upstream(
        &self,
        slug: &Slug,
        node: &Node,
        provider: NodeId,
        now: u64,
    ) -> Result<(), Problem> {
        let decide = |known: Option<Carrier>| {
            let new = || Carrier { node: node.clone(), carried: None, upstream: None, as_of: now };
            let known = known.unwrap_or_else(new);
            lease(Carrier { upstream: Some((provider, now)), ..known }, ())
        };
        self.0.update(CARRIERS, &carrier_id(slug, node.uuid), decide).await
    }

    /// Notes that a relay carries a stream no longer.
    pub async fn forget_carrier(&self, slug: &Slug, node: NodeId) -> Result<(), Problem> {
        self.0.remove(CARRIERS, &carrier_id(slug, node)).await.map(drop)
    }

    /// One provider's ledger.
    pub async fn ledger(&self, provider: NodeId) -> Result<Option<Ledger>, Problem> {
        self.0.get(LEDGERS, &provider.to_string()).await
    }

    /// Ledgers by provider after `cursor`, one page; the cursor of the next if there is one.
    pub async fn ledgers(&self, cursor: Option<&str>) -> Result<(Vec<NodeId>, Option<String>), Problem> {
        let page: Vec<(String, Ledger)> = self.0.list(LEDGERS, cursor, PAGE).await?;
        let next = page.last().filter(|_| page.len() == PAGE).map(|(id, _)| id.clone());
        let providers: Result<_, _> = page.iter().map(|(id, _)| id.parse()).collect();
        Ok((providers?, next))
    }

    /// Applies a rule to a ledger as one step; none if there is no such ledger.
    pub async fn in_ledger<R: Send>(
        &self,
        provider: NodeId,
        mut rule: impl FnMut(&mut Ledger) -> R + Send,
    ) -> Result<Option<R>, Problem> {
        let decide = |known: Option<Ledger>| match known {
            Some(mut ledger) => {
                let result = rule(&mut ledger);
                put(ledger, Some(result))
            }
            None => Change::Keep(None),
        };
        self.0.update(LEDGERS, &provider.to_string(), decide).await
    }

    /// Takes out of a ledger what has ended; writes nothing if nothing has.
    pub async fn sweep(
        &self,
        provider: NodeId,
        now: u64,
        truce: bool,
    ) -> Result<Vec<(TicketId, Entry)>, Problem> {
        let decide = |known: Option<Ledger>| {
            let Some(before) = known else { return Change::Keep(vec![]) };
            let mut ledger = before.clone();
            let dropped = ledger.sweep(now, truce);
            if ledger == before { Change::Keep(vec![]) } else { put(ledger, dropped) }
        };
        self.0.update(LEDGERS, &provider.to_string(), decide).await
    }

    /// Takes the capacity and the links that a provider states into its ledger; what it has promised now, and the
    /// links that were news.
    pub async fn hear_provider(&self, ask: &RenewTickets, now: u64) -> Result<(u32, Links), Problem> {
        let decide = |known: Option<Ledger>| {
            let mut ledger = known.unwrap_or_else(|| Ledger::new(&ask.node));
            let links = ledger.heard(&ask.node, &ask.heartbeat, now);
            let promised = promised(&ledger);
            put(ledger, (promised, links))
        };
        self.0.update(LEDGERS, &ask.heartbeat.node.to_string(), decide).await
    }

    /// What a provider has promised.
    pub async fn promised(&self, provider: NodeId) -> Result<u32, Problem> {
        Ok(self.ledger(provider).await?.as_ref().map_or(0, promised))
    }

    /// Puts a ticket into a provider's ledger if it has room; gives the address to pull from.
    pub async fn offer(
        &self,
        id: TicketId,
        entry: &Entry,
        place: &Place,
        at: Moment,
    ) -> Result<Result<String, Refusal>, Problem> {
        let offered = self.in_ledger(place.provider, |ledger| {
            ledger.offer(id, entry.clone(), at).map(|()| ledger.advertise.clone())
        });
        let offered = offered.await?.unwrap_or(Err(Refusal::Lost));
        if offered.is_ok() {
            self.put_place(id, place).await?;
        }
        Ok(offered)
    }

    /// Where a ticket is.
    pub async fn place(&self, id: TicketId) -> Result<Option<Place>, Problem> {
        self.0.get(TICKETS, &id.to_string()).await
    }

    /// Keeps where a ticket is for as long as it may be asked for.
    pub async fn put_place(&self, id: TicketId, place: &Place) -> Result<(), Problem> {
        let decide =
            |_: Option<Place>| Change::Put { value: place.clone(), ttl: Some(PLACE_KEPT), result: () };
        self.0.update(TICKETS, &id.to_string(), decide).await
    }

    /// Forgets where a ticket was.
    pub async fn forget_place(&self, id: TicketId) -> Result<(), Problem> {
        self.0.remove(TICKETS, &id.to_string()).await.map(drop)
    }

    /// Places of tickets by id after `cursor`, at most `limit`.
    pub async fn places(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(TicketId, Place)>, Problem> {
        let found: Vec<(String, Place)> = self.0.list(TICKETS, cursor, limit).await?;
        found.into_iter().map(|(id, place)| Ok((id.parse()?, place))).collect()
    }
}

impl Relay {
    fn registered(ask: &RenewTickets) -> Self {
        let (node, rtts) = (ask.node.clone(), ask.rtts.clone());
        Self { node, rtts, streams: vec![], holds: vec![], sent_at: 0 }
    }
}

fn promised(ledger: &Ledger) -> u32 {
    u32::try_from(ledger.promised_kbps()).unwrap_or(u32::MAX)
}

fn carrier_id(slug: &Slug, node: NodeId) -> String {
    format!("{slug}/{node}")
}

fn put<T, R>(value: T, result: R) -> Change<T, R> {
    Change::Put { value, ttl: Some(RELAY_KEPT), result }
}

fn lease<T, R>(value: T, result: R) -> Change<T, R> {
    Change::Put { value, ttl: Some(LEASE), result }
}
