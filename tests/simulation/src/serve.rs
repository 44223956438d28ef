//! What a relay does for others: admit, tell, fetch, close.

use crate::message::{Said, Ticket, Up};
use crate::node::Health;
use crate::queue::Event;
use crate::relay::PATIENCE;
use crate::world::World;
use astral_proto::TicketId;

impl World {
    /// A subscriber asks for its stream.
    pub fn admit(&mut self, ticket: Ticket) {
        match self.nodes[ticket.provider as usize].health {
            Health::CutOff => return,
            Health::Killed => return self.send_wire(ticket, Said::Closed),
            Health::Up => {}
        }
        let here = self.node(ticket.provider);
        if here.revoked.contains(&ticket.id) || !here.has_room(&ticket) {
            self.figures.links_refused += 1;
            return self.send_wire(ticket, Said::Closed);
        }
        here.used_kbps += u64::from(ticket.kbps);
        here.served.insert(ticket.id, ticket);
        self.want(ticket.provider, ticket.stream);
        self.check_room(ticket.provider);
        self.tell(ticket, true);
    }

    fn tell(&mut self, ticket: Ticket, first: bool) {
        let Some(pull) = self.node(ticket.provider).pull(ticket.stream) else {
            return;
        };
        let path = pull.path.clone();
        let upstream_ok = pull.upstream_ok;
        let flows = pull.flows;
        self.send_wire(
            ticket,
            Said::Sends {
                path,
                upstream_ok,
                flows,
                first,
            },
        );
    }

    /// Tells every subscriber of a stream what has changed.
    pub fn tell_all(&mut self, node: u32, stream: u8) {
        let served: Vec<Ticket> = self.node(node).served.values().copied().collect();
        for ticket in served.into_iter().filter(|ticket| ticket.stream == stream) {
            self.tell(ticket, false);
        }
    }

    /// A link of a provider is over.
    pub fn unserve(&mut self, provider: u32, id: TicketId) {
        let here = self.node(provider);
        if let Some(ticket) = here.served.remove(&id) {
            here.used_kbps -= u64::from(ticket.kbps);
        }
    }

    /// A revoked link has been left, or is closed now.
    pub fn close_revoked(&mut self, provider: u32, id: TicketId) {
        let here = self.node(provider);
        here.revoked.remove(&id);
        let ticket = here.served.get(&id).copied();
        self.unserve(provider, id);
        if let Some(ticket) = ticket {
            self.send_wire(ticket, Said::Closed);
        }
    }

    /// A ticket has been revoked: its subscriber has a while to make its next link.
    pub fn revoked(&mut self, node: u32, id: TicketId) {
        self.node(node).revoked.insert(id);
        let at = self.now + PATIENCE.as_millis() as u64;
        self.queue
            .put(at, Event::CloseRevoked { provider: node, id });
    }

    /// Fetches a stream for a child.
    pub fn fetch(&mut self, node: u32, stream: u8, fetch: u64) {
        self.want(node, stream);
        match self.node(node).pull(stream) {
            Some(pull) if !pull.is_served() => pull.fetches.push(fetch),
            _ => self.answer_fetch(node, stream, fetch),
        }
    }

    /// Answers a fetch: how the stream is carried now.
    pub fn answer_fetch(&mut self, node: u32, stream: u8, fetch: u64) {
        let slugs = &self.slugs;
        let ids = &self.ids;
        let now = self.now;
        let carried = self.nodes[node as usize]
            .pull(stream)
            .and_then(|pull| pull.carried(slugs, ids, now));
        self.send_up(node, Up::Fetched { fetch, carried });
    }
}
