//! Requests of the control services to one node.

use super::{Carried, Replacement};
use crate::model::Fault;
use crate::{Slug, TicketId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks how far a node is with a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// The name of the stream.
    pub slug: Slug,
}

/// How far a relay is with a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probed {
    /// The stream on this relay; None if the relay does not carry it.
    pub carried: Option<Carried>,
    /// How long ago the publisher sent media, milliseconds; None if this relay is not the origin or has no publisher.
    pub publisher_silent_ms: Option<u64>,
    /// The number of the process that answers, as in its registration; 0 if unknown.
    #[serde(default)]
    pub process: u32,
}

/// Ends the publish of every lower epoch: another relay is the origin now, or nobody may be. The relay becomes a
/// subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fence {
    /// The name of the stream.
    pub slug: Slug,
    /// The new epoch.
    pub epoch: u64,
    /// Why, for the publisher that is disconnected.
    #[serde(default, skip_serializing_if = "FenceReason::is_unknown")]
    pub reason: FenceReason,
}

/// Why a publisher is disconnected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FenceReason {
    /// Another publisher took the stream over.
    TakenOver,
    /// The owner paused the stream.
    Paused,
    /// The owner deleted the stream.
    Deleted,
    /// The owner changed the publish key.
    KeyChanged,
    /// No reason is given, or it is one of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl FenceReason {
    /// Whether no reason is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

/// Asks a supernode to pull a stream, because a node that is attached to it needs the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fetch {
    /// The name of the stream.
    pub slug: Slug,
}

/// The supernode carries the stream now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fetched {
    /// The stream on the supernode.
    pub carried: Carried,
}

/// A ticket is no longer valid. The provider closes its link after 5 s, or earlier if the subscriber has opened another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revoke {
    /// The id of the ticket.
    pub id: TicketId,
}

/// Asks a node to switch to other tickets now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Tickets of the node that others replace.
    pub replaced: Vec<Replacement>,
}

/// Injects a fault into a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inject {
    /// The fault.
    pub fault: Fault,
    /// How long it lasts, seconds.
    pub seconds: u32,
}
