//! Looks at the whole world: every second at what must always hold, and once the faults have stopped at whether everything
//! has healed. Ledgers and records are read from what was last written, relays are asked what they hold.

use crate::relays::Life;
use crate::world::World;
use astral_proto::limits::HOPS_MAX;
use astral_proto::message::{Heartbeat, HeldTicket};
use astral_proto::model::TicketState;
use astral_proto::{NodeId, Slug, TicketId};
use astral_ticket_broker::ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A viewer whose stream flows has had a picture within this time.
const FLOWS: Duration = Duration::from_secs(2);
/// A viewer that has just come is given this long.
const COMES_WITHIN: Duration = Duration::from_secs(10);

/// What has been seen at earlier looks.
#[derive(Default)]
pub struct Audit {
    /// Links that led round at the last look.
    rings: BTreeSet<(NodeId, Slug)>,
}

/// Something that has not healed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A viewer gets nothing.
    Dark {
        relay: String,
        slug: Slug,
        refused: Option<u16>,
        problem: Option<String>,
        others: usize,
    },
    /// A provider's ledger and its own table differ.
    Ledger {
        provider: NodeId,
        ids: Vec<TicketId>,
    },
    /// A ledger reserves for a ticket that its subscriber does not hold.
    Leaked {
        provider: NodeId,
        id: TicketId,
        subscriber: NodeId,
    },
    /// A ledger is that of a relay that does not run.
    Dead { provider: NodeId },
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl Audit {
    /// Looks at what must always hold.
    pub fn look(&mut self, world: &World) {
        world.recorder.set_pictures(world.pictures());
        self.note_publishers(world);
        let statements = statements(world);
        let providers = providers(&statements);
        let rings: BTreeSet<(NodeId, Slug)> = providers
            .keys()
            .filter(|(node, slug)| leads_round(&providers, *node, slug))
            .cloned()
            .collect();
        if let Some((node, slug)) = rings.intersection(&self.rings).next() {
            let what = format!("ring: the links of {slug} above {node} lead back to it");
            world.recorder.break_with(what);
        }
        self.rings = rings;
    }

    fn note_publishers(&self, world: &World) {
        for publisher in &world.publishers {
            let address = publisher.address();
            let place = world
                .relays
                .places
                .iter()
                .find(|place| place.address == address);
            let node = place.and_then(|place| Some(place.life.as_ref()?.node));
            let sends = node.zip(publisher.sends_since());
            world
                .recorder
                .health(|health| health.publishes(publisher.slug(), sends));
        }
    }

    /// The first thing that is not as it must be once everything has healed; None if all is well.
    pub fn what_is_wrong(&self, world: &World) -> Option<Wrong> {
        let statements = statements(world);
        dark(world).or_else(|| self.wrong_ledger(world, &statements))
    }

    fn wrong_ledger(
        &self,
        world: &World,
        statements: &BTreeMap<NodeId, Heartbeat>,
    ) -> Option<Wrong> {
        let held = held(statements);
        world.recorder.ledgers(|ledgers| {
            ledgers.iter().find_map(|(provider, ledger)| {
                let Some(statement) = statements.get(provider) else {
                    return Some(Wrong::Dead {
                        provider: *provider,
                    });
                };
                differs(*provider, ledger, statement).or_else(|| leaked(*provider, ledger, &held))
            })
        })
    }
}

/// A viewer that has been there for a while and gets nothing.
fn dark(world: &World) -> Option<Wrong> {
    let is_dark = |viewer: &&crate::viewer::Viewer| {
        viewer.since.elapsed() > COMES_WITHIN && !viewer.saw_within(FLOWS)
    };
    let first = world.viewers.iter().find(is_dark)?;
    let place = &world.relays.places[first.place];
    let hosted = place
        .life
        .as_ref()
        .map(|life| astral_relay::node::hosted_streams(&life.relay));
    let hosted = hosted.into_iter().flatten();
    let stream = hosted
        .into_iter()
        .find(|stream| stream.stream.slug == first.slug);
    Some(Wrong::Dark {
        relay: place.address.clone(),
        slug: first.slug.clone(),
        refused: first.seen().refused,
        problem: stream.and_then(|stream| stream.problem),
        others: world.viewers.iter().filter(is_dark).count() - 1,
    })
}

/// What each relay would say of itself now.
fn statements(world: &World) -> BTreeMap<NodeId, Heartbeat> {
    let statement = |life: &Life| (life.node, astral_relay::node::statement(&life.relay));
    world.relays.alive().map(statement).collect()
}

/// From whom each relay pulls each stream.
fn providers(statements: &BTreeMap<NodeId, Heartbeat>) -> BTreeMap<(NodeId, Slug), NodeId> {
    let active = |(node, statement): (&NodeId, &Heartbeat)| {
        let node = *node;
        let links = statement.holds.iter().filter(|held| held.flows);
        let links = links.map(move |held| ((node, held.slug.clone()), held.provider));
        links.collect::<Vec<_>>()
    };
    statements.iter().flat_map(active).collect()
}

fn leads_round(providers: &BTreeMap<(NodeId, Slug), NodeId>, node: NodeId, slug: &Slug) -> bool {
    let mut above = node;
    for _ in 0..=2 * HOPS_MAX {
        match providers.get(&(above, slug.clone())) {
            Some(next) if *next == node => return true,
            Some(next) => above = *next,
            None => return false,
        }
    }
    false
}

/// Every ticket that a relay holds, with who holds it.
fn held(statements: &BTreeMap<NodeId, Heartbeat>) -> BTreeMap<TicketId, NodeId> {
    let tickets = |(node, statement): (&NodeId, &Heartbeat)| {
        let node = *node;
        let ids: Vec<_> = statement
            .holds
            .iter()
            .map(|held: &HeldTicket| (held.id, node))
            .collect();
        ids
    };
    statements.iter().flat_map(tickets).collect()
}

/// Tickets in use by the ledger and not by the provider, or the other way round.
fn differs(provider: NodeId, ledger: &Ledger, statement: &Heartbeat) -> Option<Wrong> {
    let used = ledger
        .tickets
        .iter()
        .filter(|(_, entry)| !entry.standby && entry.state == TicketState::Confirmed)
        .map(|(id, _)| *id);
    let used: BTreeSet<TicketId> = used.collect();
    let served: BTreeSet<TicketId> = statement.serves.iter().map(|served| served.id).collect();
    let ids: Vec<TicketId> = used.symmetric_difference(&served).copied().collect();
    (!ids.is_empty()).then_some(Wrong::Ledger { provider, ids })
}

/// A ticket that nobody holds.
fn leaked(provider: NodeId, ledger: &Ledger, held: &BTreeMap<TicketId, NodeId>) -> Option<Wrong> {
    let nobody_holds = |(id, entry): &(&TicketId, &astral_ticket_broker::ledger::Entry)| {
        held.get(*id) != Some(&entry.subscriber)
    };
    let (id, entry) = ledger.tickets.iter().find(nobody_holds)?;
    Some(Wrong::Leaked {
        provider,
        id: *id,
        subscriber: entry.subscriber,
    })
}
