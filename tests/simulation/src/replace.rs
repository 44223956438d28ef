//! What takes the place of tickets at heartbeats, by production's rules: standbys that are no good, and places that are
//! not the best.

use crate::message::Ticket;
use crate::world::World;
use astral_proto::message::{Heartbeat, HeldTicket};
use astral_proto::{NodeId, TicketId};
use astral_ticket_broker::carrier::Carriers;
use astral_ticket_broker::judge::standby::{better_standbys, rank_standbys, shared_relays};
use astral_ticket_broker::judge::{Asker, rank_providers};
use astral_ticket_broker::reparent::better_providers;
use std::collections::BTreeSet;

impl World {
    /// What takes the place of tickets that a node holds.
    pub fn replace(
        &mut self,
        from: u32,
        said: &Heartbeat,
        due: &[TicketId],
        settled: &[TicketId],
    ) -> Vec<(TicketId, Ticket)> {
        let mut replaced = Vec::new();
        for active in said.holds.iter().filter(|held| !held.standby) {
            let Some(stream) = self.slugs.iter().position(|slug| *slug == active.slug) else {
                continue;
            };
            let stream = stream as u8;
            let better = match settled.contains(&active.id) {
                true => self
                    .better_place(from, active, stream)
                    .map(|by| (active.id, by)),
                false => None,
            };
            let standby = said
                .holds
                .iter()
                .find(|held| held.standby && held.slug == active.slug);
            let by = better.or_else(|| {
                let standby = standby?;
                let is_due = due.contains(&standby.id);
                Some((
                    standby.id,
                    self.better_standby(from, (active, standby), stream, is_due)?,
                ))
            });
            replaced.extend(by);
        }
        replaced
    }

    fn better_place(&mut self, from: u32, active: &HeldTicket, stream: u8) -> Option<Ticket> {
        let asker = self.asker(from, BTreeSet::new());
        let carriers = self.carriers_with(stream, &asker, &[active.provider])?;
        let fit = rank_providers(&asker, &carriers, &mut Vec::new());
        let ranked = better_providers(&asker, &carriers, active.provider, fit, None, self.now);
        let (at, best) = carriers.get(&active.provider).zip(ranked.first())?;
        if !self.control.move_budgets[stream as usize].take(&asker, at, best.rank, self.now) {
            return None;
        }
        let by = self
            .reserve(&asker, stream, &carriers, &ranked, false)
            .ok()?;
        let provider = self.ids[by.provider as usize];
        self.note_upstream(asker.node, stream, provider);
        self.figures.note_move(self.now);
        Some(by)
    }

    fn better_standby(
        &mut self,
        from: u32,
        (active, standby): (&HeldTicket, &HeldTicket),
        stream: u8,
        due: bool,
    ) -> Option<Ticket> {
        let asker = self.asker(from, BTreeSet::new());
        let ends = [active.provider, standby.provider];
        let origin = self.control.records[stream as usize].origin;
        let ancestors =
            self.control.indexes[stream as usize].with_ancestors(ends.into_iter().chain(origin));
        let shared = shared_relays(&asker, &ancestors, active.provider, standby.provider);
        if shared == Some(0) || (shared.is_some() && !due) {
            return None;
        }
        let carriers = self.carriers_with(stream, &asker, &ends)?;
        let fit = rank_providers(&asker, &carriers, &mut Vec::new());
        let ranked = better_standbys(
            rank_standbys(&fit, &carriers, active.provider),
            standby.provider,
            shared,
        );
        let by = self
            .reserve(&asker, stream, &carriers, &ranked, true)
            .ok()?;
        self.cancel(standby.id, asker.node);
        Some(by)
    }

    fn carriers_with(&mut self, stream: u8, asker: &Asker, ends: &[NodeId]) -> Option<Carriers> {
        let mut carriers = self.carriers(stream, asker)?;
        carriers.extend(self.control.indexes[stream as usize].with_ancestors(ends.iter().copied()));
        Some(carriers)
    }
}
