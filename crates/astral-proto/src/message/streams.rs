//! Streams: made, looked up, changed, deleted, and what is told of them.

use crate::model::StreamState;
use crate::{Secret, Slug};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Make a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateStream {
    /// Its name.
    pub slug: Slug,
    /// The key its publisher must give; none for open publishing.
    pub key: Option<Secret>,
}

/// Change a stream; what is not named stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeStream {
    /// Its name.
    pub slug: Slug,
    /// False pauses it: its publisher is cut off and none is taken. True lets publishers in again.
    pub streaming: Option<bool>,
    /// The key that its next publisher must give; the present one is not asked again.
    pub key: Option<Secret>,
}

/// Look a stream up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetStream {
    /// Its name.
    pub slug: Slug,
}

/// List streams by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListStreams {
    /// Start after this name.
    pub cursor: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
    /// Only those in these states, of which `live` and `grace` may be asked for; all streams if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<StreamState>,
}

/// Take a stream off the list; its publisher is cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteStream {
    /// Its name.
    pub slug: Slug,
}

/// A stream has come, changed or gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamChanged {
    /// The stream.
    pub slug: Slug,
    /// The stream as it is now; none once deleted.
    pub stream: Option<crate::model::Stream>,
}
