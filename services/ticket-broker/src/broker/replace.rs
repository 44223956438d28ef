//! Tickets that others take the place of: those that their provider can serve no longer, and standbys for which there
//! are better ones.

use super::Broker;
use super::grant::{Want, asker};
use crate::choose::{better, judge, standbys, standing};
use crate::store::Relay;
use astral_proto::message::{HeldTicket, Offer, Replacement};
use astral_proto::{Problem, TicketId};

/// Most tickets replaced by one heartbeat; the others are by the next.
const REPLACED_MAX: usize = 32;

impl Broker {
    /// What takes the place of tickets that a node holds: of those in `moves` now, of standbys that are no good or
    /// `due` when there is better. Without `due`, standbys stay.
    pub(super) async fn replace(
        &self,
        relay: &Relay,
        moves: &[TicketId],
        due: Option<&Vec<TicketId>>,
    ) -> Result<Vec<Replacement>, Problem> {
        let holds = &relay.holds;
        let mut replaced = Vec::new();
        for active in holds.iter().filter(|held| !held.standby) {
            if replaced.len() >= REPLACED_MAX {
                break;
            }
            let standby = holds.iter().find(|held| held.standby && held.slug == active.slug);
            let by = match standby.zip(due) {
                _ if moves.contains(&active.id) => {
                    self.move_from(relay, active).await?.map(|by| (active, by))
                }
                Some((standby, due)) => {
                    let due = due.contains(&standby.id);
                    self.better_standby(relay, active, standby, due).await?.map(|by| (standby, by))
                }
                None => None,
            };
            replaced.extend(by.map(|(left, by)| Replacement { left: left.id, by }));
        }
        Ok(replaced)
    }

    /// A ticket for a stream that its provider can serve no longer; none if nobody else has room.
    async fn move_from(&self, relay: &Relay, active: &HeldTicket) -> Result<Option<Offer>, Problem> {
        let asker = asker(relay.node.uuid, Some(relay), [active.provider].into());
        let Ok(scene) = self.scene(&active.slug).await else { return Ok(None) };
        self.meet(&active.slug, &scene, asker.primary).await?;
        let carriers = scene.shortlist(&asker);
        let mut why = vec![format!("{}: can serve it no longer", active.provider)];
        let fit = judge(&asker, &carriers, &mut why);
        let want = Want {
            slug: &active.slug,
            asker: &asker,
            node: Some(&relay.node),
            scene: &scene,
            carriers: &carriers,
            standby: false,
            why,
        };
        Ok(self.reserve(want, &fit).await.ok())
    }

    /// A standby better than the one held, which is released; none if that one is good, or the best there is.
    async fn better_standby(
        &self,
        relay: &Relay,
        active: &HeldTicket,
        standby: &HeldTicket,
        due: bool,
    ) -> Result<Option<Offer>, Problem> {
        let (slug, asker) = (&active.slug, asker(relay.node.uuid, Some(relay), [].into()));
        let Ok(scene) = self.scene(slug).await else { return Ok(None) };
        let ends = [active.provider, standby.provider];
        self.meet(slug, &scene, asker.primary.into_iter().chain(ends)).await?;
        let mut carriers = scene.shortlist(&asker);
        scene.note(|roster| ends.into_iter().for_each(|end| roster.add_with_those_above(end, &mut carriers)));
        let shared = standing(&asker, &carriers, active.provider, standby.provider);
        if shared == Some(0) || (shared.is_some() && !due) {
            return Ok(None);
        }
        let mut why = Vec::new();
        let fit = judge(&asker, &carriers, &mut why);
        let ranked = better(standbys(&fit, &carriers, active.provider), standby.provider, shared);
        let want = Want {
            slug,
            asker: &asker,
            node: Some(&relay.node),
            scene: &scene,
            carriers: &carriers,
            standby: true,
            why,
        };
        let Ok(offer) = self.reserve(want, &ranked).await else { return Ok(None) };
        self.release(standby.id, relay.node.uuid).await?;
        Ok(Some(offer))
    }
}
