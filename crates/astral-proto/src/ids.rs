//! Ids as types. Text is parsed once, where it enters the program.

use crate::{Code, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random id, for tests. Programs take ids from their `Env`.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }

        impl FromStr for $name {
            type Err = Problem;
            fn from_str(text: &str) -> Result<Self, Problem> {
                text.parse().map(Self).map_err(|_| {
                    Problem::new(Code::BadRequest, format!("{text:?} is not a UUID"))
                })
            }
        }
    };
}

uuid_id! {
    /// The id of a node: one running relay. The node chooses it, and may keep it across restarts.
    NodeId
}
uuid_id! {
    /// The id of a ticket.
    TicketId
}

/// The name of a stream in URLs: 1 to 64 ASCII letters, digits, `-` or `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9_-]{1,64}$"))]
pub struct Slug(Box<str>);

impl Slug {
    /// The longest slug, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.bytes().all(allowed) {
            let shown: String = text.chars().take(Self::MAX_BYTES).collect();
            return Err(Problem::new(
                Code::BadRequest,
                format!("stream name {shown:?} must be 1 to 64 letters, digits, '-' or '_'"),
            ));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Slug {
    type Error = Problem;
    fn try_from(text: String) -> Result<Self, Problem> {
        text.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> String {
        slug.0.into()
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The number of a frame in its stream: its GOP, and its number within that GOP over all tracks. Written `GOP.FRAME`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9]+\\.[0-9]+$"))]
pub struct FrameId {
    /// The number of the GOP. The origins of the stream count from 0.
    pub gop: u64,
    /// The number of the frame in its GOP, from 0.
    pub number: u32,
}

impl FrameId {
    /// The frame `number` of GOP `gop`.
    pub fn new(gop: u64, number: u32) -> Self {
        Self { gop, number }
    }

    /// The frame after this one in the same GOP. After the last frame, it stands for the start of the next GOP.
    pub fn next(self) -> Self {
        Self {
            gop: self.gop,
            number: self.number + 1,
        }
    }
}

impl fmt::Display for FrameId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.gop, self.number)
    }
}

impl FromStr for FrameId {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        let parsed = text.split_once('.').and_then(|(gop, number)| {
            Some(Self {
                gop: gop.parse().ok()?,
                number: number.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| {
            Problem::new(
                Code::BadRequest,
                format!("{text:?} is not GOP.FRAME, such as 17.0"),
            )
        })
    }
}

impl TryFrom<String> for FrameId {
    type Error = Problem;
    fn try_from(text: String) -> Result<Self, Problem> {
        text.parse()
    }
}

impl From<FrameId> for String {
    fn from(id: FrameId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_short_plain_words() {
        for good in ["demo", "a", "My-Stream_2", &"x".repeat(64)] {
            assert_eq!(good.parse::<Slug>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "a.flv", "é", &"x".repeat(65)] {
            assert_eq!(
                bad.parse::<Slug>().unwrap_err().code,
                Code::BadRequest,
                "{bad}"
            );
        }
    }

    #[test]
    fn frame_ids_read_back_what_they_write() {
        let id = FrameId::new(17, 3);
        assert_eq!(id.to_string(), "17.3");
        assert_eq!("17.3".parse::<FrameId>().unwrap(), id);
        for bad in ["", "17", "17.", ".3", "-1.3", "17.3.4"] {
            assert!(bad.parse::<FrameId>().is_err(), "{bad}");
        }
    }
}
