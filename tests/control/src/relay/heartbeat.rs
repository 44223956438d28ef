//! What a relay tells the coordinator every two seconds, and what it makes of the answer.

use super::{Relay, WITHIN};
use astral_backend::unix_millis;
use astral_proto::Problem;
use astral_proto::message::{Heartbeat, HeartbeatReply, HeldTicket, Offer, Replacement, Tickets};
use astral_proto::{Kbps, Slug};

impl Relay {
    /// Sends one heartbeat.
    ///
    /// # Errors
    /// The coordinator's.
    pub async fn beat(&self) -> Result<HeartbeatReply, Problem> {
        let heartbeat = self.heartbeat();
        let reply = self.backend.bus.request(&heartbeat, WITHIN).await?;
        let mut memory = self.memory();
        memory.primary = reply.primary_supernode;
        if reply.tickets.generation != 0 {
            memory.generation = reply.tickets.generation;
        }
        memory.lost.extend(&reply.tickets.lost);
        drop(memory);
        Ok(reply)
    }

    pub(super) async fn beat_for_ever(&self) {
        loop {
            tokio::time::sleep(astral_proto::limits::HEARTBEAT_INTERVAL).await;
            // An answer that does not come is what the tests are about; the next heartbeat comes anyway.
            let Ok(reply) = self.beat().await else {
                continue;
            };
            if reply.register {
                let _ = self.register(&format!("{}:8081", self.id)).await;
                let _ = self.beat().await;
            }
            self.go_over(&reply.tickets.replaced).await;
        }
    }

    /// Goes over to what takes the place of its tickets.
    pub(super) async fn go_over(&self, replaced: &[Replacement]) {
        for Replacement { left, by } in replaced {
            let slug = {
                let mut memory = self.memory();
                let of = |held: &Tickets| {
                    held.active.id == *left
                        || held.standby.as_ref().is_some_and(|held| held.id == *left)
                };
                let Some((slug, held)) = memory.held.iter_mut().find(|(_, held)| of(held)) else {
                    continue;
                };
                held.standby = Some(by.clone());
                (held.active.id == *left).then(|| slug.clone())
            };
            if let Some(slug) = slug {
                let _ = self.fail_over(&slug).await;
            }
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let serves = self
            .links()
            .get(&self.id)
            .map(|served| served.values().cloned().collect());
        let memory = self.memory();
        let streams = memory
            .carried
            .values()
            .map(|carried| memory.as_of_now(carried));
        let held = |slug: &Slug, offer: &Offer, standby| HeldTicket {
            id: offer.id,
            slug: slug.clone(),
            provider: offer.provider,
            standby,
            flows: self.is_open(offer),
        };
        let holds = memory.held.iter().flat_map(|(slug, tickets)| {
            let standby = tickets
                .standby
                .iter()
                .map(|standby| held(slug, standby, true));
            std::iter::once(held(slug, &tickets.active, false)).chain(standby)
        });
        Heartbeat {
            node: self.id,
            draining: memory.draining,
            limit_kbps: memory.limit_kbps,
            viewer_kbps: Kbps::ZERO,
            streams: streams.collect(),
            serves: serves.unwrap_or_default(),
            holds: holds.collect(),
            rtts: memory.rtts.clone(),
            generation: memory.generation,
            sent_at: unix_millis(),
            notices: vec![],
            process: self.process,
        }
    }
}
