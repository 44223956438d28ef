//! Tickets that others take the place of: those that their provider can serve no longer, and those for which there are
//! better ones.

use super::Broker;
use super::grant::{Want, asker};
use crate::carrier::Carriers;
use crate::judge::why::Why;
use crate::judge::{Asker, better_standbys, judge, rank_standbys, shared_relays};
use crate::reparent::better_providers;
use crate::snapshot::CandidateSnapshot;
use crate::store::Relay;
use astral_proto::message::{HeldTicket, Offer, Replacement};
use astral_proto::{Problem, Slug, TicketId};
use uuid::Uuid;

/// Most tickets replaced by one heartbeat; the others are by the next.
const REPLACED_MAX: usize = 32;

/// Tickets for which it is time to look for better ones.
#[derive(Debug, Default)]
pub(super) struct DueReviews {
    /// That wait for a failover.
    pub(super) standbys: Vec<TicketId>,
    /// In use for long.
    pub(super) settled: Vec<TicketId>,
}

impl Broker {
    /// What takes the place of tickets that a node holds: of those in `moves` now, of standbys that are no good at once,
    /// and of those in `reviews` when there is better. Without `reviews`, only `moves` go.
    pub(super) async fn replace(
        &self,
        relay: &Relay,
        moves: &[TicketId],
        reviews: Option<&DueReviews>,
    ) -> Result<Vec<Replacement>, Problem> {
        let holds = &relay.holds;
        let mut replaced = Vec::new();
        for active in holds.iter().filter(|held| !held.standby) {
            if replaced.len() >= REPLACED_MAX {
                break;
            }
            let standby = holds
                .iter()
                .find(|held| held.standby && held.slug == active.slug);
            let mut by = match reviews {
                _ if moves.contains(&active.id) => {
                    self.move_from(relay, active).await?.map(|by| (active, by))
                }
                Some(reviews) if reviews.settled.contains(&active.id) => self
                    .better_place(relay, active)
                    .await?
                    .map(|by| (active, by)),
                _ => None,
            };
            if let (None, Some(standby), Some(reviews)) = (&by, standby, reviews) {
                let due = reviews.standbys.contains(&standby.id);
                by = self
                    .better_standby(relay, active, standby, due)
                    .await?
                    .map(|by| (standby, by));
            }
            replaced.extend(by.map(|(left, by)| Replacement { left: left.id, by }));
        }
        Ok(replaced)
    }

    /// A ticket for a stream that its provider can serve no longer; none if nobody else has room.
    async fn move_from(
        &self,
        relay: &Relay,
        active: &HeldTicket,
    ) -> Result<Option<Offer>, Problem> {
        let asker = asker(relay.node.uuid, Some(relay), [active.provider].into());
        let Ok(snapshot) = self.snapshot(&active.slug).await else {
            return Ok(None);
        };
        self.load_ancestors(&active.slug, &snapshot, asker.primary)
            .await?;
        let carriers = snapshot.shortlist(&asker);
        let mut why = vec![Why::Said(format!(
            "{}: can serve it no longer",
            active.provider
        ))];
        let fit = judge(&asker, &carriers, &mut why);
        let want = Want {
            slug: &active.slug,
            asker: &asker,
            snapshot: &snapshot,
            carriers: &carriers,
            standby: false,
            request: Uuid::new_v4(),
            why,
        };
        Ok(self.reserve(want, &fit).await.ok())
    }

    /// A ticket of a clearly better provider than one that has been in use for long; none if there is none with room.
    async fn better_place(
        &self,
        relay: &Relay,
        active: &HeldTicket,
    ) -> Result<Option<Offer>, Problem> {
        let slug = &active.slug;
        let asker = asker(relay.node.uuid, Some(relay), [].into());
        let Ok(snapshot) = self.snapshot(slug).await else {
            return Ok(None);
        };
        let carriers = self
            .carriers_with(slug, &snapshot, &asker, &[active.provider])
            .await?;
        let served = format!("{}: has served it, and another is better", active.provider);
        let mut why = vec![Why::Said(served)];
        let now = self.store.state.now();
        let fit = judge(&asker, &carriers, &mut why);
        let ranked = better_providers(&asker, &carriers, active.provider, fit, None, now);
        let Some((active, best)) = carriers.get(&active.provider).zip(ranked.first()) else {
            self.fetch_for(relay, active, &carriers);
            return Ok(None);
        };
        if !self
            .snapshots
            .take_move(slug, |moves| moves.take(&asker, active, best.rank, now))
        {
            return Ok(None);
        }
        let request = Uuid::new_v4();
        let want = Want {
            slug,
            asker: &asker,
            snapshot: &snapshot,
            carriers: &carriers,
            standby: false,
            request,
            why,
        };
        Ok(self.reserve(want, &ranked).await.ok())
    }

    /// Those to choose among, with what is known of `ends` and of the relays above them.
    pub(super) async fn carriers_with(
        &self,
        slug: &Slug,
        snapshot: &CandidateSnapshot,
        asker: &Asker,
        ends: &[astral_proto::NodeId],
    ) -> Result<Carriers, Problem> {
        self.load_ancestors(
            slug,
            snapshot,
            asker.primary.into_iter().chain(ends.iter().copied()),
        )
        .await?;
        let mut carriers = snapshot.shortlist(asker);
        carriers.extend(snapshot.with_ancestors(ends));
        Ok(carriers)
    }

    /// A standby better than the one held, which is released; none if that one is good, or the best there is.
    async fn better_standby(
        &self,
        relay: &Relay,
        active: &HeldTicket,
        standby: &HeldTicket,
        due: bool,
    ) -> Result<Option<Offer>, Problem> {
        let failed = relay.failed_lately(self.store.state.now()).collect();
        let slug = &active.slug;
        let asker = asker(relay.node.uuid, Some(relay), failed);
        let Ok(snapshot) = self.snapshot(slug).await else {
            return Ok(None);
        };
        let ends = [active.provider, standby.provider];
        self.load_ancestors(slug, &snapshot, ends).await?;
        let shared = shared_relays(
            &asker,
            &snapshot.with_ancestors(&ends),
            active.provider,
            standby.provider,
        );
        if shared == Some(0) || (shared.is_some() && !due) {
            return Ok(None);
        }
        let carriers = self.carriers_with(slug, &snapshot, &asker, &ends).await?;
        let mut why = Vec::new();
        let fit = judge(&asker, &carriers, &mut why);
        let ranked = better_standbys(
            rank_standbys(&fit, &carriers, active.provider),
            standby.provider,
            shared,
        );
        let request = Uuid::new_v4();
        let want = Want {
            slug,
            asker: &asker,
            snapshot: &snapshot,
            carriers: &carriers,
            standby: true,
            request,
            why,
        };
        let Ok(offer) = self.reserve(want, &ranked).await else {
            return Ok(None);
        };
        self.release(standby.id, relay.node.uuid).await?;
        Ok(Some(offer))
    }
}
