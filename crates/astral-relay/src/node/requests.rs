//! The requests of the control plane to a relay, and the answers. How a request arrives does not
//! matter here.

use crate::core::Relay;
use crate::feed::{give_way, wait_until_flowing};
use astral_proto::limits::DRILL_SECONDS_MAX;
use astral_proto::message::{
    Fence, Fetch, Fetched, Inject, Move, NodeRequest, Probe, Probed, Revoke,
};
use astral_proto::rest::{NodeAnswer, NodeAsk};
use astral_proto::{Code, Problem};
use std::future::Future;
use std::time::Duration;

/// How much of an unknown verb is shown in the answer.
const VERB_SHOWN_CHARS: usize = 32;

/// A request of the control plane that a relay answers.
pub trait RelayRequest: NodeRequest {
    /// The relay's answer.
    fn answer(self, relay: &Relay) -> impl Future<Output = Result<Self::Reply, Problem>> + Send;
}

/// Returns how far the relay has come with a stream.
impl RelayRequest for Probe {
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

/// A publish of a lower epoch gives way; its viewers here go on.
impl RelayRequest for Fence {
    async fn answer(self, relay: &Relay) -> Result<(), Problem> {
        give_way(relay, &self.slug, self.epoch, self.reason);
        Ok(())
    }
}

/// Pulls a stream for a child that wants it. Fails if the stream does not flow within 5 s.
impl RelayRequest for Fetch {
    async fn answer(self, relay: &Relay) -> Result<Fetched, Problem> {
        let stream = wait_until_flowing(relay, &self.slug).await?;
        Ok(Fetched {
            carried: stream.carried(),
        })
    }
}

impl RelayRequest for Revoke {
    async fn answer(self, relay: &Relay) -> Result<(), Problem> {
        relay.ticket_check().revoke(self.id);
        Ok(())
    }
}

impl RelayRequest for Move {
    async fn answer(self, relay: &Relay) -> Result<(), Problem> {
        for stream in relay.streams().all() {
            if let Some(tickets) = stream.feed.read(|feed| feed.tickets().cloned()) {
                tickets.replace(&self.replaced);
            }
        }
        Ok(())
    }
}

/// Injects a fault, if drills are allowed.
impl RelayRequest for Inject {
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

/// Answers what came as a verb and JSON.
pub async fn answer(relay: &Relay, ask: &NodeAsk) -> NodeAnswer {
    match ask.verb.as_str() {
        Probe::VERB => answer_as::<Probe>(relay, ask).await,
        Fence::VERB => answer_as::<Fence>(relay, ask).await,
        Fetch::VERB => answer_as::<Fetch>(relay, ask).await,
        Revoke::VERB => answer_as::<Revoke>(relay, ask).await,
        Move::VERB => answer_as::<Move>(relay, ask).await,
        Inject::VERB => answer_as::<Inject>(relay, ask).await,
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

async fn answer_as<R: RelayRequest>(relay: &Relay, ask: &NodeAsk) -> NodeAnswer {
    let outcome = match ask.read::<R>() {
        Ok(request) => relay.for_request(request.answer(relay)).await,
        Err(problem) => Err(problem),
    };
    NodeAnswer::new(ask.id, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::json;

    async fn ask(verb: &str, body: serde_json::Value) -> NodeAnswer {
        let ask = NodeAsk {
            id: 7,
            verb: verb.into(),
            body,
        };
        answer(&testing::relay(), &ask).await
    }

    fn code(answer: NodeAnswer) -> Option<Code> {
        assert_eq!(answer.id, 7);
        answer.problem.map(|problem| problem.code)
    }

    #[tokio::test]
    async fn requests_by_verb_are_answered_like_typed_ones() {
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
