//! What a relay tells of the publishers that it warned or turned away.

use crate::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// It was turned away, at the door or in the middle of its publish.
    Refused,
    /// It goes on, and should change something.
    Warned,
    /// Something that this version does not know; it is passed over.
    #[serde(other)]
    Unknown,
}

/// What one publisher was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublisherNotice {
    /// The stream.
    pub slug: Slug,
    /// Its publish; 0 if it was turned away before it had one.
    pub epoch: u64,
    /// What became of it.
    pub kind: NoticeKind,
    /// A short stable word.
    pub reason: String,
    /// A sentence for whoever runs the encoder. Holds no secrets.
    pub detail: String,
    /// How long ago it was told, milliseconds: clocks differ, spans do not.
    pub age_ms: u64,
}
