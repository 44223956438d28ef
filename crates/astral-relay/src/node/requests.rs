//! What the control plane asks of a relay, and the answers, however the question came.

use crate::core::Relay;
use crate::core::SeatKind;
use astral_proto::limits::DRILL_SECONDS_MAX;
use astral_proto::message::{
    Fence, Fetch, Fetched, Inject, Move, NodeRequest, Probe, Probed, Revoke,
};
use astral_proto::rest::{NodeAnswer, NodeAsk};
use astral_proto::{Code, Problem};
use std::future::Future;
use std::time::Duration;

/// How much of an unknown verb is shown to whoever asked.
const VERB_SHOWN_CHARS: usize = 32;

/// A request of the control plane that a relay answers.
pub trait Asked: NodeRequest {
    /// The relay's answer.
    fn answer(self, relay: &Relay) -> impl Future<Output = Result<Self::Reply, Problem>> + Send;
}

/// How far the relay is with a stream.
impl Asked for Probe {
    async fn answer(self, relay: &Relay) -> Result<Probed, Problem> {
        let stream = relay.find(&self.slug).filter(|stream| stream.is_carried());
        let publisher = stream
            .as_ref()
            .and_then(|stream| stream.origin())
            .filter(|origin| origin.has_publisher);
        Ok(Probed {
            carried: stream.map(|stream| stream.carried()),
            publisher_silent_ms: publisher
                .map(|origin| origin.last_media.elapsed().as_millis() as u64),
            process: relay.process(),
        })
    }
}

/// A lower epoch here gives way, and its readers are served on as a subscriber.
impl Asked for Fence {
    async fn answer(self, relay: &Relay) -> Result<(), Problem> {
        let Some(stream) = relay.find(&self.slug) else {
            return Ok(());
        };
        if stream
            .origin()
            .is_some_and(|origin| origin.epoch < self.epoch)
        {
            tracing::info!(
                stream.slug = %self.slug,
                stream.epoch = self.epoch,
                reason = ?self.reason,
                "this relay is origin no longer"
            );
            stream.set_origin(None);
            let seat = stream.take_seat_because(SeatKind::Pull, self.reason);
            match stream.is_over() {
                true => stream.start_over(),
                false => stream.log.end_open_gop(),
            }
            stream.touch();
            relay.pull(stream, seat);
        }
        Ok(())
    }
}

/// Gets a stream for a child that wants it; refused as [`Relay::want_flowing`] refuses.
impl Asked for Fetch {
    async fn answer(self, relay: &Relay) -> Result<Fetched, Problem> {
        let stream = relay.want_flowing(&self.slug).await?;
        Ok(Fetched {
            carried: stream.carried(),
        })
    }
}

impl Asked for Revoke {
    async fn answer(self, relay: &Relay) -> Result<(), Problem> {
        relay.tickets().revoke(self.id);
        Ok(())
    }
}

impl Asked for Move {
    async fn answer(self, relay: &Relay) -> Result<(), Problem> {
        relay.move_to(&self);
        Ok(())
    }
}

/// A drill, where those are allowed.
impl Asked for Inject {
    async fn answer(self, relay: &Relay) -> Result<(), Problem> {
        if !relay.config().allow_drills {
            let detail = "drills are off on this node: start it with --allow-drills";
            return Err(Problem::new(Code::Forbidden, detail));
        }
        if !(1..=DRILL_SECONDS_MAX).contains(&self.seconds) {
            let detail = format!(
                "a drill of {} s is not within 1 to {DRILL_SECONDS_MAX}",
                self.seconds
            );
            return Err(Problem::new(Code::BadRequest, detail));
        }
        tracing::warn!(drill.fault = ?self.fault, drill.seconds = self.seconds, "drill");
        let gate = relay.gate().clone();
        relay.spawn(async move {
            gate.inject(self.fault, Duration::from_secs(self.seconds.into()))
                .await;
        });
        Ok(())
    }
}

impl Relay {
    /// Answers what came as a verb and JSON.
    pub async fn answer(&self, ask: &NodeAsk) -> NodeAnswer {
        match ask.verb.as_str() {
            Probe::VERB => self.answer_as::<Probe>(ask).await,
            Fence::VERB => self.answer_as::<Fence>(ask).await,
            Fetch::VERB => self.answer_as::<Fetch>(ask).await,
            Revoke::VERB => self.answer_as::<Revoke>(ask).await,
            Move::VERB => self.answer_as::<Move>(ask).await,
            Inject::VERB => self.answer_as::<Inject>(ask).await,
            _ => {
                let shown: String = ask.verb.chars().take(VERB_SHOWN_CHARS).collect();
                let problem = Problem::new(
                    Code::BadRequest,
                    format!("this node knows no verb {shown:?}"),
                );
                NodeAnswer::new::<()>(ask.id, Err(problem))
            }
        }
    }

    async fn answer_as<R: Asked>(&self, ask: &NodeAsk) -> NodeAnswer {
        let outcome = match ask.read::<R>() {
            Ok(request) => self.for_request(request.answer(self)).await,
            Err(problem) => Err(problem),
        };
        NodeAnswer::new(ask.id, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::json;

    async fn ask(verb: &str, body: serde_json::Value) -> NodeAnswer {
        testing::relay()
            .answer(&NodeAsk {
                id: 7,
                verb: verb.into(),
                body,
            })
            .await
    }

    fn code(answer: NodeAnswer) -> Option<Code> {
        assert_eq!(answer.id, 7);
        answer.problem.map(|problem| problem.code)
    }

    #[tokio::test]
    async fn questions_by_verb_are_answered_as_typed_ones() {
        let probed = ask("probe", json!({"slug": "demo"}))
            .await
            .outcome::<Probe>()
            .unwrap();
        assert_eq!((&probed.carried, probed.publisher_silent_ms), (&None, None));
        assert!(probed.process > 0, "{probed:?}");
        let revoked = ask("revoke", json!({"id": astral_proto::TicketId::random()})).await;
        assert_eq!(revoked.outcome::<Revoke>(), Ok(()));
    }

    #[tokio::test]
    async fn unknown_verbs_malformed_requests_and_drills_that_are_off_are_refused() {
        assert_eq!(code(ask("halt", json!({})).await), Some(Code::BadRequest));
        assert_eq!(
            code(ask("probe", json!({"slug": "a b"})).await),
            Some(Code::BadRequest)
        );
        assert_eq!(
            code(ask("probe", json!({"slug": "a", "region": "eu"})).await),
            None
        );
        assert_eq!(
            code(ask("inject", json!({"fault": "cut", "seconds": 1})).await),
            Some(Code::Forbidden)
        );
    }
}
