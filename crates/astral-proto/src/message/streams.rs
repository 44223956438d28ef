//! Streams: how they are created, changed, looked up and deleted.

use crate::model::{Stream, StreamState};
use crate::{Secret, Slug};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Creates a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateStream {
    /// The name of the stream.
    pub slug: Slug,
    /// The key that its publishers must give; None lets everyone publish.
    pub key: Option<Secret>,
}

/// Changes a stream. Fields that are None leave their part as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeStream {
    /// The name of the stream.
    pub slug: Slug,
    /// False pauses the stream: its publisher is disconnected, and others are refused. True admits publishers again.
    pub streaming: Option<bool>,
    /// The key that its next publisher must give. The present publisher is not checked again.
    pub key: Option<Secret>,
}

/// Looks a stream up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetStream {
    /// The name of the stream.
    pub slug: Slug,
}

/// Lists streams in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListStreams {
    /// The page starts after this name; None for the first page.
    pub cursor: Option<String>,
    /// The largest number of streams in the page, 1 to 1000.
    pub limit: u32,
    /// Only streams in these states, `live` and `grace` at most; an empty list means all streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<StreamState>,
}

/// Deletes a stream and disconnects its publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteStream {
    /// The name of the stream.
    pub slug: Slug,
}

/// A stream is new, has changed, or was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamChanged {
    /// The name of the stream.
    pub slug: Slug,
    /// The stream after the change; None if it was deleted.
    pub stream: Option<Stream>,
}
