//! Publishing: the right to be the origin of a stream, and its end.

use crate::{FrameId, Incarnation, Micros, NodeId, Secret, Slug};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A publisher has connected to a relay, which asks to become the origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoLive {
    /// The stream to publish.
    pub slug: Slug,
    /// The publish key, if the publisher gave one.
    pub key: Option<Secret>,
    /// The relay that asks.
    pub node: NodeId,
    /// The newest frame of the stream that this relay holds, if it carries the stream.
    pub newest: Option<FrameId>,
    /// The end of that frame on the stream's timeline, microseconds.
    pub newest_dts: Option<Micros>,
    /// The incarnation of that frame.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// The epoch of that frame; 0 if the relay holds none.
    #[serde(default)]
    pub epoch: u64,
}

/// The right to be the origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The incarnation that the epoch belongs to.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// The epoch that starts now.
    pub epoch: u64,
    /// The number of its first GOP.
    pub first_gop: u64,
    /// The time of its first frame on the stream's timeline, microseconds.
    pub first_dts: Micros,
    /// How many discontinuities precede its first GOP. The origin adds one if its parameters differ from the previous ones.
    pub discontinuity: u64,
    /// The stream's target duration, seconds; None until the first origin has fixed it.
    pub target_duration_seconds: Option<u32>,
}

/// The publisher has left its origin, and its grace window starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublisherGone {
    /// The stream that was published.
    pub slug: Slug,
    /// The incarnation that the epoch belongs to.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// The epoch that ended. Older ones are ignored.
    pub epoch: u64,
    /// The origin.
    pub node: NodeId,
    /// Whether the grace window has passed too, so that the stream has ended.
    pub ended: bool,
    /// The stream at that moment, as the origin knows it.
    pub origin: OriginState,
}

/// How far an origin is with its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OriginState {
    /// The newest frame.
    pub newest: FrameId,
    /// The end of that frame on the stream's timeline, microseconds.
    pub newest_dts: Micros,
    /// How many discontinuities the stream has had.
    pub discontinuity: u64,
    /// The stream's target duration, seconds; None until it is fixed.
    pub target_duration_seconds: Option<u32>,
    /// For how long the publisher had sent no media, milliseconds. A duration, because clocks differ.
    pub silent_ms: u64,
}
