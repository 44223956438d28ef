//! The bodies of REST that are not also models or messages of the bus.
//!
//! A node outside the cluster uses REST instead of the bus. The bodies are the messages of the bus:
//!
//! | request | body | answer |
//! | --- | --- | --- |
//! | `POST /v1/node` | [`Register`](crate::message::Register) | 201 [`Registered`](crate::message::Registered) |
//! | `PUT /v1/node/UUID` | [`Heartbeat`](crate::message::Heartbeat) | 200 [`HeartbeatReply`](crate::message::HeartbeatReply) |
//! | `DELETE /v1/node/UUID` | | 204 |
//! | `GET /v1/node/UUID/requests` | WebSocket | [`NodeAsk`] down, [`NodeAnswer`] up, as text |
//! | `POST /v1/node/streams/SLUG/tickets` | [`RequestTicket`](crate::message::RequestTicket) | 201 [`Tickets`](crate::message::Tickets) |
//! | `PUT /v1/node/streams/SLUG/tickets/UUID` | [`TicketChange`] | 200 [`Standby`](crate::message::Standby) |
//! | `DELETE /v1/node/streams/SLUG/tickets/UUID?id=ID` | | 204 |
//! | `PUT /v1/node/streams/SLUG/origin` | [`GoLive`](crate::message::GoLive) | 200 [`Grant`](crate::message::Grant) |
//! | `POST /v1/node/streams/SLUG/origin/gone` | [`PublisherGone`](crate::message::PublisherGone) | 204 |
//!
//! The paths of the previous version ([`node_path_before`]) work for one more version.
//!
//! If the path and the body name different streams or nodes, the request is refused.

mod events;

use crate::message::{NodeRequest, SwitchTicket};
use crate::model::{Node, Tree};
use crate::{Code, NodeId, Problem, Secret, Slug, TicketId};
pub use events::{CarriedPlace, Event, Happening, RelayPlace};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest frame on the socket for a node's requests, in bytes.
pub const NODE_FRAME_BYTES_MAX: usize = 64 << 10;
/// The largest number of unanswered requests on a node's socket. Further ones are refused.
pub const NODE_ASKS_MAX: usize = 64;

/// The path that an operation of nodes had in the previous version; None if `path` is not an operation of nodes.
pub fn node_path_before(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/v1/node")?;
    match rest.strip_prefix("/streams/") {
        Some(stream) => Some(format!("/v1/streams/{stream}")),
        None if rest.is_empty() || rest.starts_with('/') => Some(format!("/v1/nodes{rest}")),
        None => None,
    }
}

/// The body of `POST /v1/streams`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStream {
    /// The name of the stream.
    pub slug: Slug,
    /// The key that its publishers must give, 1 to 256 bytes; None lets everyone publish.
    pub key: Option<Secret>,
}

/// A change of a stream. Absent fields leave their part as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamChange {
    /// False pauses the stream: its publisher is disconnected, and others are refused. True admits publishers again.
    pub streaming: Option<bool>,
    /// The key that its next publisher must give, 1 to 256 bytes. The present publisher is not checked again.
    pub key: Option<Secret>,
}

/// The nodes of the network, and the trees of the live streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Topology {
    /// Nodes with their primary supernodes, in the order of their ids. Only on the first page.
    pub nodes: Vec<Node>,
    /// Whether there are more nodes than these. The list of nodes has all.
    pub more_nodes: bool,
    /// The trees of the live streams, in the order of their names.
    pub trees: Vec<Tree>,
    /// The cursor of the next page of trees; None on the last page.
    pub next_cursor: Option<String>,
}

/// The settings of the gateway. They contain no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// The version of the gateway.
    pub version: String,
    /// The address on which it listens.
    pub http_listen: String,
    /// Whether drills may inject faults into nodes.
    pub allow_drills: bool,
    /// Whether it serves requests without tokens.
    pub allow_open: bool,
    /// The file with the hashes of the tokens, if there is one.
    pub api_tokens_file: Option<String>,
    /// The number of known tokens; None if no token is required.
    pub api_tokens: Option<usize>,
    /// Where publishers send their streams; None if it is not configured.
    #[serde(default)]
    pub publish_url: Option<String>,
}

/// Where publishers send their streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ingest {
    /// `rtmp://host:port/live`, to which publishers add `/NAME?key=KEY`; None if it is not configured.
    pub publish_url: Option<String>,
}

/// What a subscriber does with its ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TicketChange {
    /// The subscriber has opened the link of this ticket.
    Confirm(TicketId),
    /// The subscriber has failed over to its standby and wants a new one.
    Switch(Switch),
}

/// A failover of a subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Switch {
    /// The ticket in use now.
    pub active: TicketId,
    /// The ticket that it no longer uses; None if it only asks for a standby.
    pub left: Option<TicketId>,
}

impl Switch {
    /// The message of the bus with the same meaning.
    pub fn of(self, slug: Slug, subscriber: NodeId) -> SwitchTicket {
        SwitchTicket {
            slug,
            subscriber,
            active: self.active,
            left: self.left,
        }
    }
}

/// A request of the control plane to a node, on the node's socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeAsk {
    /// The number of the request on this socket. The answer repeats it.
    pub id: u64,
    /// The verb of a [`NodeRequest`]. A node answers an unknown verb with `bad_request`.
    pub verb: String,
    /// The request as JSON.
    pub body: Value,
}

impl NodeAsk {
    /// `request` with the number `id`.
    pub fn new<R: NodeRequest>(id: u64, request: &R) -> Self {
        let body = serde_json::to_value(request).expect("messages are plain data");
        Self {
            id,
            verb: R::VERB.to_owned(),
            body,
        }
    }

    /// Reads the request as an `R`.
    ///
    /// # Errors
    /// `bad_request` if the body is not an `R`.
    pub fn read<R: NodeRequest>(&self) -> Result<R, Problem> {
        R::deserialize(&self.body).map_err(|error| {
            Problem::new(
                Code::BadRequest,
                format!("malformed {} request: {error}", self.verb),
            )
        })
    }
}

/// The answer to a [`NodeAsk`]: the reply of the verb in `ok`, or a `problem`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeAnswer {
    /// The number of the request.
    pub id: u64,
    /// The reply; `null` if the verb has an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Value>,
    /// Why the request failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl NodeAnswer {
    /// The answer to the request with the number `id`.
    pub fn new<A: Serialize>(id: u64, outcome: Result<A, Problem>) -> Self {
        match outcome {
            Ok(reply) => {
                let ok = Some(serde_json::to_value(reply).expect("messages are plain data"));
                Self {
                    id,
                    ok,
                    problem: None,
                }
            }
            Err(problem) => Self {
                id,
                ok: None,
                problem: Some(problem),
            },
        }
    }

    /// Reads the reply of an `R`.
    ///
    /// # Errors
    /// The node's own problem; `internal` if its reply cannot be read.
    pub fn outcome<R: NodeRequest>(self) -> Result<R::Reply, Problem> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        serde_json::from_value(self.ok.unwrap_or_default()).map_err(|error| {
            Problem::new(
                Code::Internal,
                format!("the node's answer to {} cannot be read: {error}", R::VERB),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Fence, Probe, Probed};
    use serde_json::{from_value, json};

    #[test]
    fn a_ticket_is_confirmed_or_switched_and_nothing_else() {
        let id = TicketId::random();
        assert_eq!(
            from_value::<TicketChange>(json!({"confirm": id})).unwrap(),
            TicketChange::Confirm(id)
        );
        let switch = TicketChange::Switch(Switch {
            active: id,
            left: None,
        });
        assert_eq!(
            from_value::<TicketChange>(json!({"switch": {"active": id, "left": null}})).unwrap(),
            switch
        );
        for bad in [
            json!({}),
            json!({"renew": id}),
            json!({"confirm": id, "renew": id}),
        ] {
            assert!(from_value::<TicketChange>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn operations_of_nodes_were_among_those_of_operators_before() {
        for (now, before) in [
            ("/v1/node", Some("/v1/nodes")),
            ("/v1/node/7/requests", Some("/v1/nodes/7/requests")),
            (
                "/v1/node/streams/demo/tickets/7?id=1",
                Some("/v1/streams/demo/tickets/7?id=1"),
            ),
            ("/v1/nodes", None),
            ("/v1/streams/demo", None),
        ] {
            assert_eq!(node_path_before(now).as_deref(), before, "{now}");
        }
    }

    #[test]
    fn a_node_of_a_later_version_may_say_more_and_a_person_may_not() {
        let id = TicketId::random();
        let switch = json!({"switch": {"active": id, "left": null, "region": "eu"}});
        assert!(from_value::<TicketChange>(switch).is_ok());
        let ask = json!({"id": 7, "verb": "probe", "body": {"slug": "demo", "region": "eu"}, "region": "eu"});
        assert!(from_value::<NodeAsk>(ask).unwrap().read::<Probe>().is_ok());
        assert!(from_value::<NodeAnswer>(json!({"id": 7, "ok": null, "region": "eu"})).is_ok());
        assert!(from_value::<NewStream>(json!({"slug": "demo", "region": "eu"})).is_err());
        assert!(from_value::<StreamChange>(json!({"streaming": true, "region": "eu"})).is_err());
    }

    #[test]
    fn what_a_node_is_asked_arrives_as_it_was_asked() {
        let probe = Probe {
            slug: "demo".parse().unwrap(),
        };
        let ask = NodeAsk::new(7, &probe);
        assert_eq!(
            serde_json::to_value(&ask).unwrap(),
            json!({"id": 7, "verb": "probe", "body": {"slug": "demo"}})
        );
        assert_eq!(ask.read::<Probe>().unwrap(), probe);
        assert_eq!(ask.read::<Fence>().unwrap_err().code, Code::BadRequest);
    }

    #[test]
    fn a_node_answers_with_a_reply_or_a_problem() {
        let probed = Probed {
            carried: None,
            publisher_silent_ms: Some(3),
            process: 1,
        };
        let back = |answer: NodeAnswer| from_value(serde_json::to_value(answer).unwrap()).unwrap();
        let good: NodeAnswer = back(NodeAnswer::new(7, Ok(&probed)));
        assert_eq!(good.outcome::<Probe>().unwrap(), probed);
        let nothing: NodeAnswer = back(NodeAnswer::new(7, Ok(())));
        assert_eq!(nothing.outcome::<Fence>(), Ok(()));
        let away = Problem::new(Code::Unavailable, "draining");
        let refused: NodeAnswer = back(NodeAnswer::new::<()>(7, Err(away.clone())));
        assert_eq!(refused.outcome::<Probe>().unwrap_err(), away);
        let garbled: NodeAnswer = from_value(json!({"id": 7, "ok": "yes"})).unwrap();
        assert_eq!(garbled.outcome::<Probe>().unwrap_err().code, Code::Internal);
    }
}
