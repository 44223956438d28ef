//! The broker's books: tickets are renewed by heartbeats, cancelled, and dropped with those who had them.

use crate::broker::Relay;
use crate::message::{Down, GENERATION, Ticket};
use crate::world::World;
use astral_proto::limits::LEASE;
use astral_proto::message::{HeldTicket, RenewTickets, Renewed};
use astral_proto::model::Node;
use astral_proto::{NodeId, TicketId};
use astral_supernode_coordinator::member::Member;
use astral_ticket_broker::carrier::Carrier;
use astral_ticket_broker::ledger::heartbeat::{
    RenewalResult, StatedTicket, apply_provider, renew_held,
};
use astral_ticket_broker::ledger::{Entry, Ledger};

impl World {
    /// A ticket is no longer wanted.
    pub fn cancel(&mut self, id: TicketId, node: NodeId) {
        let Some((provider, _)) = self.control.places.get(&id).copied() else {
            return;
        };
        let Some(ledger) = &mut self.control.ledgers[provider as usize] else {
            return;
        };
        let provider_id = self.ids[provider as usize];
        if let Ok(entry) = ledger.cancel(id, provider_id, node, self.now) {
            self.control.places.remove(&id);
            if node != provider_id {
                self.revoke(provider, id, &entry);
            }
        }
    }

    fn revoke(&mut self, provider: u32, id: TicketId, entry: &Entry) {
        if !entry.standby {
            self.send_down(provider, Down::Revoke(id));
        }
    }

    fn dropped(&mut self, provider: u32, dropped: Vec<(TicketId, Entry)>) {
        for (id, entry) in dropped {
            self.control.places.remove(&id);
            self.revoke(provider, id, &entry);
        }
    }

    /// A node has registered: what it said before stands, its clock starts anew.
    pub fn note_registered(&mut self, from: u32, member: &Member) {
        let known = self.control.relays[from as usize].take();
        let (streams, holds) = known
            .map(|relay| (relay.streams, relay.holds))
            .unwrap_or_default();
        let node = member.node.clone();
        let rtts = member.rtts.clone();
        self.control.relays[from as usize] = Some(Relay {
            node,
            rtts,
            streams,
            holds,
            sent_at: 0,
        });
    }

    /// Takes in a heartbeat: the node's capacity, what it carries, the tickets it serves and holds.
    pub fn renew(&mut self, from: u32, ask: &RenewTickets) -> (Renewed, Vec<(TicketId, Ticket)>) {
        let at = from as usize;
        let now = self.now;
        let said = &ask.heartbeat;
        let truce = self.control.truce(now);
        let known = self.control.relays[at].take();
        let sent_at = known.as_ref().map_or(0, |relay| relay.sent_at);
        if said.sent_at <= sent_at {
            self.control.relays[at] = known;
            return (Renewed::default(), vec![]);
        }
        let numbers = said
            .streams
            .iter()
            .map(|c| self.slugs.iter().position(|slug| *slug == c.slug));
        let streams: Vec<u8> = numbers.flatten().map(|stream| stream as u8).collect();
        let ledger = self.control.ledgers[at].get_or_insert_with(|| Ledger::new(&ask.node));
        apply_provider(ledger, &ask.node, said, now);
        let dropped = ledger.remove_expired(now, truce);
        let promised_kbps = u32::try_from(ledger.promised_kbps()).unwrap_or(u32::MAX);
        self.dropped(from, dropped);
        let shown = Node {
            promised_kbps,
            ..ask.node.clone()
        };
        for (carried, stream) in said.streams.iter().zip(&streams) {
            self.hear_carrier(&shown, carried, *stream);
        }
        for stream in known
            .iter()
            .flat_map(|relay| &relay.streams)
            .filter(|had| !streams.contains(had))
        {
            self.control.indexes[*stream as usize].remove(said.node);
        }
        let sent_at = said.sent_at;
        let RenewalResult {
            lost,
            standbys_due,
            settled_due,
            ..
        } = self.renew_held(said.node, &said.holds);
        let holds: Vec<_> = said.holds.iter().map(|held| held.id).collect();
        self.control.relays[at] = Some(Relay {
            node: ask.node.clone(),
            rtts: ask.rtts.clone(),
            streams,
            holds,
            sent_at,
        });
        let lost = if truce { vec![] } else { lost };
        let replaced = if truce {
            vec![]
        } else {
            self.replace(from, said, &standbys_due, &settled_due)
        };
        (
            Renewed {
                lost,
                promised_kbps,
                generation: GENERATION,
                ..Renewed::default()
            },
            replaced,
        )
    }

    /// Renews what `subscriber` holds; what became of it.
    fn renew_held(&mut self, subscriber: NodeId, holds: &[HeldTicket]) -> RenewalResult {
        let mut all = RenewalResult::default();
        for HeldTicket { id, flows, .. } in holds {
            let place = self.control.places.get(id);
            let ledger =
                place.and_then(|(provider, _)| self.control.ledgers[*provider as usize].as_mut());
            match ledger {
                Some(ledger) => {
                    let held = renew_held(
                        ledger,
                        &[StatedTicket {
                            id: *id,
                            flows: *flows,
                        }],
                        subscriber,
                        self.now,
                    );
                    all.lost.extend(held.lost);
                    all.standbys_due.extend(held.standbys_due);
                    all.settled_due.extend(held.settled_due);
                }
                None if *flows => {}
                None => all.lost.push(*id),
            }
        }
        all
    }

    /// Whether a silent node still sends or receives, by the word of others.
    pub fn flows(&self, at: usize) -> bool {
        let now = self.now;
        if self.control.ledgers[at]
            .as_ref()
            .is_some_and(|ledger| ledger.is_received_from(now))
        {
            return true;
        }
        let holds = self.control.relays[at]
            .iter()
            .flat_map(|relay| &relay.holds);
        holds.into_iter().any(|id| {
            let place = self.control.places.get(id);
            let ledger =
                place.and_then(|(provider, _)| self.control.ledgers[*provider as usize].as_ref());
            ledger.is_some_and(|ledger| ledger.serves(*id, now))
        })
    }

    /// Drops the tickets of a node that has gone: those it served, and those it held if it has left.
    pub fn node_gone(&mut self, gone: NodeId, lost: bool) {
        let at = self.numbers[&gone] as usize;
        let Some(relay) = self.control.relays[at].take() else {
            return;
        };
        for stream in &relay.streams {
            self.control.indexes[*stream as usize].remove(gone);
        }
        self.control.ledgers[at] = None;
        if lost {
            return;
        }
        for id in &relay.holds {
            let Some((provider, _)) = self.control.places.get(id).copied() else {
                continue;
            };
            let Some(ledger) = &mut self.control.ledgers[provider as usize] else {
                continue;
            };
            let dropped = ledger.drop_held_by(gone, self.now);
            self.dropped(provider, dropped);
        }
    }

    /// Takes out the carriers whose lease has ended.
    pub fn sweep_carriers(&mut self) {
        let now = self.now;
        let ended = |carrier: &&Carrier| {
            let said_at = carrier.upstream.map_or(0, |(_, at)| at).max(carrier.as_of);
            now.saturating_sub(said_at) >= LEASE.as_millis() as u64
        };
        for index in &mut self.control.indexes {
            let mut ended: Vec<NodeId> = index.all().filter(ended).map(|c| c.node.uuid).collect();
            // The order in which they go is the order of those who stay.
            ended.sort_unstable();
            ended.into_iter().for_each(|node| drop(index.remove(node)));
        }
    }
}
