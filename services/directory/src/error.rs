//! What the directory refuses, and why.
//!
//! Publishers see some of these texts in their encoders, so they say what to do.

use crate::publish_key::KEY_BYTES_MAX;
use astral_proto::limits::{PAGE_ITEMS_MAX, PUBLISHER_ALIVE};
use astral_proto::{Code, Problem, Slug};

/// Why a request to the directory failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No stream has this name.
    #[error("there is no stream {:?}", .0.as_str())]
    UnknownStream(Slug),
    /// A stream of this name exists already.
    #[error("stream {:?} exists already", .0.as_str())]
    StreamExists(Slug),
    /// Another publisher sends the stream.
    #[error(
        "stream {:?} has another publisher, which sent {silent_ms} ms ago; it can be taken over after {} s of silence",
        slug.as_str(), PUBLISHER_ALIVE.as_secs()
    )]
    PublisherActive {
        /// The name of the stream.
        slug: Slug,
        /// How long ago the other publisher sent media, milliseconds.
        silent_ms: u64,
    },
    /// Other relays were granted the stream while this one asked, again and again.
    #[error("stream {:?} was taken by others at the same moment", .0.as_str())]
    GrantContended(Slug),
    /// The owner has paused the stream.
    #[error("stream {:?} is paused by its owner", .0.as_str())]
    Paused(Slug),
    /// The stream has a key, and the publisher gave none.
    #[error("stream {:?} is published by key: add ?key=…", .0.as_str())]
    KeyMissing(Slug),
    /// The publisher gave a wrong key.
    #[error("stream {:?} is not published by that key", .0.as_str())]
    KeyWrong(Slug),
    /// The stream has no key, and only streams with keys may be published.
    #[error("stream {:?} has no publish key and open publishing is off", .0.as_str())]
    OpenPublishingOff(Slug),
    /// A change that names nothing to change.
    #[error("stream {:?}: name what is to change, streaming or key", .0.as_str())]
    NothingToChange(Slug),
    /// The key of the stream is declared in the file of streams.
    #[error("the key of stream {:?} is declared in --streams-file: change it there", .0.as_str())]
    KeyDeclared(Slug),
    /// The stream is declared in the file of streams.
    #[error("stream {:?} is declared in --streams-file: take it out there first", .0.as_str())]
    StreamDeclared(Slug),
    /// A publish key is empty or too long.
    #[error("a publish key of {bytes} bytes must have 1 to {KEY_BYTES_MAX}")]
    KeyLength {
        /// How long it is.
        bytes: usize,
    },
    /// A publish key contains a character that encoders cannot send. The rest of the key stays secret.
    #[error(
        "a publish key must not have {0:?}, which encoders cannot send: use letters, digits and any of - _ . ~ ! * = + , : ; @ $"
    )]
    KeyCharacter(char),
    /// A hashed key is malformed. The text is not quoted.
    #[error("key_sha256 is not SALT:HASH, 16 letters or digits and 64 hexadecimal digits")]
    KeyHash,
    /// The size of a page is out of range.
    #[error("limit {0} must be 1 to {PAGE_ITEMS_MAX}")]
    PageLimit(u32),
    /// A list by a state for which there is no index.
    #[error("only streams in the states live and grace are listed by state")]
    StateNotListed,
    /// The bus, the state, or another service failed.
    #[error(transparent)]
    Backend(#[from] Problem),
}

impl Error {
    /// The class of the error.
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownStream(_) => Code::NotFound,
            Self::StreamExists(_)
            | Self::PublisherActive { .. }
            | Self::GrantContended(_)
            | Self::KeyDeclared(_)
            | Self::StreamDeclared(_) => Code::Conflict,
            Self::Paused(_) | Self::OpenPublishingOff(_) => Code::Forbidden,
            Self::KeyMissing(_) | Self::KeyWrong(_) => Code::Unauthenticated,
            Self::NothingToChange(_)
            | Self::KeyLength { .. }
            | Self::KeyCharacter(_)
            | Self::KeyHash
            | Self::PageLimit(_)
            | Self::StateNotListed => Code::BadRequest,
            Self::Backend(problem) => problem.code,
        }
    }
}
