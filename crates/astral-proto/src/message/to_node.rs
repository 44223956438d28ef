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
}

/// Another relay is origin now; whoever has a lower epoch becomes a subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fence {
    /// The stream.
    pub slug: Slug,
    /// The new epoch.
    pub epoch: u64,
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
