//! What a relay reports about the publishers that it warned or refused.

use crate::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened to a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// It was refused, when it connected or while it published.
    Refused,
    /// It continues to publish, but its encoder should be changed.
    Warned,
    /// A kind of a later version. It is ignored.
    #[serde(other)]
    Unknown,
}

/// What a relay told one publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublisherNotice {
    /// The stream that it published.
    pub slug: Slug,
    /// The epoch of its publish; 0 if it was refused before it had one.
    pub epoch: u64,
    /// What happened to it.
    pub kind: NoticeKind,
    /// A short word that never changes, such as `open_gop`.
    pub reason: String,
    /// A sentence for the person who runs the encoder. It contains no secrets.
    pub detail: String,
    /// How long ago that was, milliseconds. A duration, because clocks differ.
    pub age_ms: u64,
}
