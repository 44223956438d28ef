//! Back to a supernode that does not carry the stream: it fetches it, as it does for a relay that joins.

use super::Broker;
use super::grant::{Want, asker};
use crate::carrier::Carriers;
use crate::judge::why::Why;
use crate::judge::{Asker, judge};
use crate::reparent::{better_providers, supernode_worth_fetching};
use crate::store::Relay;
use astral_proto::limits::LINK_SILENCE;
use astral_proto::message::{HeldTicket, Move, Replacement};
use astral_proto::{NodeId, Problem};
use uuid::Uuid;

impl Broker {
    /// Has the supernode of `relay` fetch a stream for it, and moves it there, if that is clearly better than the `active`
    /// ticket. It takes longer than a heartbeat can wait.
    pub(super) fn fetch_for(&self, relay: &Relay, active: &HeldTicket, carriers: &Carriers) {
        let now = self.store.state.now();
        let asker = asker(
            relay.node.uuid,
            Some(relay),
            relay.failed_lately(now).collect(),
        );
        let fetch = supernode_worth_fetching(&asker, carriers, active.provider);
        let Some(((supernode, place), at)) = fetch.zip(carriers.get(&active.provider)) else {
            return;
        };
        if !self
            .snapshots
            .take_move(&active.slug, |moves| moves.take(&asker, at, place, now))
        {
            return;
        }
        let broker = self.clone();
        let active = active.clone();
        self.tasks.spawn(async move {
            if let Err(problem) = broker.move_to_fetched(&asker, &active, supernode).await {
                tracing::debug!(stream.slug = %active.slug, node.id = %supernode, %problem, "not fetched for a relay that would move there");
            }
        });
    }

    async fn move_to_fetched(
        &self,
        asker: &Asker,
        active: &HeldTicket,
        supernode: NodeId,
    ) -> Result<(), Problem> {
        let slug = &active.slug;
        let carrier = self.fetch(supernode, slug).await?;
        let snapshot = self.snapshot(slug).await?;
        snapshot.add([(supernode, carrier.into())].into());
        let carriers = self
            .carriers_with(slug, &snapshot, asker, &[active.provider])
            .await?;
        let served = format!(
            "{}: has served it, and {supernode} has fetched it",
            active.provider
        );
        let mut why = vec![Why::Said(served)];
        let fit = judge(asker, &carriers, &mut why);
        let now = self.store.state.now();
        let ranked = better_providers(asker, &carriers, active.provider, fit, Some(supernode), now);
        let request = Uuid::new_v4();
        let want = Want {
            slug,
            asker,
            snapshot: &snapshot,
            carriers: &carriers,
            standby: false,
            request,
            why,
        };
        let by = self.reserve(want, &ranked).await?;
        let replaced = vec![Replacement {
            left: active.id,
            by,
        }];
        self.bus
            .request_node(asker.node, &Move { replaced }, LINK_SILENCE)
            .await
    }
}
