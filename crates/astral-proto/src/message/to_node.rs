//! What the control services ask of one node.

use super::{Carried, Replacement};
use crate::model::Fault;
use crate::{Slug, TicketId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far are you with this stream?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// The stream.
    pub slug: Slug,
}

/// How far a relay is with a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probed {
    /// The stream there, none if it is not carried.
    pub carried: Option<Carried>,
    /// How long ago its publisher sent media; none if it is not the origin or has no publisher.
    pub publisher_silent_ms: Option<u64>,
    /// The process that answers, as it registered; 0 if it does not say.
    #[serde(default)]
    pub process: u32,
}

/// Another relay is origin now, or nobody may be; whoever has a lower epoch becomes a subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fence {
    /// The stream.
    pub slug: Slug,
    /// The new epoch.
    pub epoch: u64,
    /// Why, for the publisher that is cut off.
    #[serde(default, skip_serializing_if = "FenceReason::is_unknown")]
    pub reason: FenceReason,
}

/// Why a publisher is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FenceReason {
    /// Another publisher has taken the stream over.
    TakenOver,
    /// Its owner has paused it.
    Paused,
    /// Its owner has deleted it.
    Deleted,
    /// Its publish key was changed.
    KeyChanged,
    /// It is not said, or in words of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl FenceReason {
    /// Whether nothing is said.
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

/// Get this stream, a child of yours wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fetch {
    /// The stream.
    pub slug: Slug,
}

/// The stream is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fetched {
    /// How it is carried.
    pub carried: Carried,
}

/// A ticket is no longer good: close its link once the subscriber has its next one, or in 5 s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revoke {
    /// The ticket.
    pub id: TicketId,
}

/// Go over to other tickets now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Tickets the node holds that others take the place of.
    pub replaced: Vec<Replacement>,
}

/// Put a fault on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inject {
    /// What fails.
    pub fault: Fault,
    /// For how long, seconds.
    pub seconds: u32,
}
