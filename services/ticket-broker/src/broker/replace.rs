//! Tickets that others take the place of: those that their provider can serve no longer, and standbys for which there
//! are better ones.

use super::Broker;
use super::grant::Want;
use crate::choose::{Asker, Candidate, better, judge, standbys, standing};
use astral_backend::unix_millis;
use astral_proto::message::{HeldTicket, Offer, RenewTickets, Replacement};
use astral_proto::{NodeId, Problem, TicketId};
use std::collections::HashSet;

/// Most tickets replaced by one heartbeat; the others are by the next.
const REPLACED_MAX: usize = 32;

impl Broker {
    /// What takes the place of tickets that a node holds: of those in `moves` now, of standbys that are no good or
    /// `due` when there is better. Without `due`, standbys stay.
    pub(super) async fn replace(
        &self,
        ask: &RenewTickets,
        moves: &[TicketId],
        due: Option<&Vec<TicketId>>,
    ) -> Result<Vec<Replacement>, Problem> {
        let holds = &ask.heartbeat.holds;
        let mut replaced = Vec::new();
        for active in holds.iter().filter(|held| !held.standby) {
            if replaced.len() >= REPLACED_MAX {
                break;
            }
            let standby = holds.iter().find(|held| held.standby && held.slug == active.slug);
            let by = match standby.zip(due) {
                _ if moves.contains(&active.id) => self.move_from(ask, active).await?.map(|by| (active, by)),
                Some((standby, due)) => {
                    let due = due.contains(&standby.id);
                    self.better_standby(ask, active, standby, due).await?.map(|by| (standby, by))
                }
                None => None,
            };
            replaced.extend(by.map(|(left, by)| Replacement { left: left.id, by }));
        }
        Ok(replaced)
    }

    /// A ticket for a stream that its provider can serve no longer; none if nobody else has room.
    async fn move_from(&self, ask: &RenewTickets, active: &HeldTicket) -> Result<Option<Offer>, Problem> {
        let asker = asker(ask, [active.provider]);
        let carriers = self.store.carriers(&active.slug).await?;
        let mut why = vec![format!("{}: can serve it no longer", active.provider)];
        let fit = judge(&asker, &carriers, &mut why);
        let want = Want { slug: &active.slug, asker: &asker, carriers: &carriers, standby: false, why };
        let Ok(offer) = self.reserve(want, &fit).await else { return Ok(None) };
        self.store.note_upstream(&active.slug, &ask.node, offer.provider, unix_millis()).await?;
        Ok(Some(offer))
    }

    /// A standby better than the one held, which is released; none if that one is good, or the best there is.
    async fn better_standby(
        &self,
        ask: &RenewTickets,
        active: &HeldTicket,
        standby: &HeldTicket,
        due: bool,
    ) -> Result<Option<Offer>, Problem> {
        let (slug, asker) = (&active.slug, asker(ask, []));
        let lines = self.store.lines(slug, [active.provider, standby.provider]).await?;
        let shared = standing(&asker, &lines, active.provider, standby.provider);
        if shared == Some(0) || (shared.is_some() && !due) {
            return Ok(None);
        }
        let carriers = self.store.carriers(slug).await?;
        let mut why = Vec::new();
        let fit = judge(&asker, &carriers, &mut why);
        let ranked: Vec<Candidate<'_, _>> = standbys(&fit, &carriers, active.provider);
        let ranked = better(ranked, standby.provider, shared);
        let want = Want { slug, asker: &asker, carriers: &carriers, standby: true, why };
        let Ok(offer) = self.reserve(want, &ranked).await else { return Ok(None) };
        self.release(standby.id, ask.heartbeat.node).await?;
        Ok(Some(offer))
    }
}

fn asker(ask: &RenewTickets, exclude: impl IntoIterator<Item = NodeId>) -> Asker {
    Asker {
        node: ask.heartbeat.node,
        role: ask.node.role,
        primary: ask.node.primary_supernode,
        rtts: ask.rtts.iter().copied().collect(),
        exclude: exclude.into_iter().collect::<HashSet<_>>(),
    }
}
