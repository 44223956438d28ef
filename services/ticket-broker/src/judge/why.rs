//! Why a provider was chosen, line by line: in words where it is shown, short where it is kept.

use super::{Rank, Tier};
use astral_proto::NodeId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One line. Kept as a list, told apart by its length, so that of each ticket it takes little room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Why {
    /// One that may provide: what it is worth, how many hops it has, and percent of its limit that are promised.
    Fit(#[serde(with = "short")] NodeId, ShownTier, u32, u64),
    /// One that may not.
    Unfit(#[serde(with = "short")] NodeId, Unfit),
    /// So many more.
    Others(usize),
    /// The one chosen, where no other was as good.
    Alone((Short,)),
    /// The one chosen of so many as good, before the other drawn; of both, percent that are promised, and hops.
    Over(usize, Load, Load),
    /// Anything else.
    Said(String),
}

/// A relay that was drawn, percent of its limit that are promised, and its hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load(#[serde(with = "short")] pub NodeId, pub u64, pub u32);

/// A relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Short(#[serde(with = "short")] pub NodeId);

/// What a relay that may provide is for the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShownTier {
    /// The origin, for a supernode.
    #[serde(rename = "k")]
    Kept,
    /// The asker's primary supernode.
    #[serde(rename = "p")]
    Primary,
    /// Another supernode.
    #[serde(rename = "s")]
    Supernode,
    /// The origin.
    #[serde(rename = "o")]
    Origin,
    /// An ordinary node.
    #[serde(rename = "n")]
    Node,
    /// The origin, where nobody else has room.
    #[serde(rename = "r")]
    Last,
    /// Any that was full.
    #[serde(rename = "c")]
    Crowded,
}

impl From<Rank> for ShownTier {
    fn from(place: Rank) -> Self {
        match place.tier {
            Tier::OriginForSupernode => Self::Kept,
            Tier::Supernode if !place.not_primary => Self::Primary,
            Tier::Supernode => Self::Supernode,
            Tier::Origin => Self::Origin,
            Tier::Node => Self::Node,
            Tier::OriginReserve => Self::Last,
            Tier::Full => Self::Crowded,
        }
    }
}

impl ShownTier {
    fn name(self) -> &'static str {
        match self {
            Self::Kept => "origin, kept for supernodes",
            Self::Primary => "primary supernode",
            Self::Supernode => "supernode",
            Self::Origin => "origin",
            Self::Node => "ordinary node",
            Self::Last => "origin, the rest of which is kept for supernodes",
            Self::Crowded => "full when last heard",
        }
    }
}

/// Why a relay may not provide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unfit {
    /// It is who asks.
    #[serde(rename = "a")]
    Asker,
    /// It is excluded by who asks.
    #[serde(rename = "x")]
    Excluded,
    /// It is lost.
    #[serde(rename = "l")]
    Lost,
    /// It is draining.
    #[serde(rename = "d")]
    Draining,
    /// It has the stream from who asks.
    #[serde(rename = "b")]
    Below,
    /// Its stream does not come from the origin.
    #[serde(rename = "o")]
    Adrift,
    /// It has too many hops.
    #[serde(rename = "f")]
    Far,
}

impl Unfit {
    fn reason(self) -> &'static str {
        match self {
            Self::Asker => "it is the asker",
            Self::Excluded => "the asker will not have it",
            Self::Lost => "it is lost",
            Self::Draining => "it is draining",
            Self::Below => "it is below the asker",
            Self::Adrift => "its stream does not come from the origin",
            Self::Far => "it is too far from the origin",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fit(node, worth, hops, percent) => {
                write!(
                    out,
                    "{node}: {}, {hops} hops, {percent} % promised",
                    worth.name()
                )
            }
            Self::Unfit(node, unfit) => write!(out, "{node}: not taken, {}", unfit.reason()),
            Self::Others(others) => {
                write!(out, "{others} others considered, none better than these")
            }
            Self::Alone((Short(node),)) => write!(out, "{node}: chosen, no other is as good"),
            Self::Over(of, Load(this, percent, hops), Load(that, its_percent, its_hops)) => write!(
                out,
                "{this}: chosen of {of} as good, with {percent} % promised, {hops} hops over {that} with \
                 {its_percent} % promised, {its_hops} hops"
            ),
            Self::Said(said) => out.write_str(said),
        }
    }
}

/// Writes a relay's id in 22 characters; for serde.
pub(crate) mod short {
    use astral_proto::NodeId;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use uuid::Uuid;

    const CHARACTERS: usize = 22;

    pub(crate) fn serialize<S: Serializer>(node: &NodeId, to: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; CHARACTERS];
        URL_SAFE_NO_PAD
            .encode_slice(node.0.as_bytes(), &mut text)
            .expect("16 bytes are 22 characters");
        to.serialize_str(std::str::from_utf8(&text).expect("base64 is ASCII"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeId, D::Error> {
        let bytes = URL_SAFE_NO_PAD
            .decode(String::deserialize(from)?)
            .map_err(D::Error::custom)?;
        Uuid::from_slice(&bytes)
            .map(NodeId)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_back_as_it_was_kept() {
        let [this, that] = [1, 2].map(|bits| NodeId(uuid::Uuid::from_u128(bits)));
        for (why, kept) in [
            (
                Why::Fit(this, ShownTier::Supernode, 2, 50),
                r#"["AAAAAAAAAAAAAAAAAAAAAQ","s",2,50]"#,
            ),
            (
                Why::Unfit(this, Unfit::Below),
                r#"["AAAAAAAAAAAAAAAAAAAAAQ","b"]"#,
            ),
            (Why::Others(3), "3"),
            (Why::Alone((Short(this),)), r#"["AAAAAAAAAAAAAAAAAAAAAQ"]"#),
            (
                Why::Over(8, Load(this, 1, 2), Load(that, 3, 4)),
                r#"[8,["AAAAAAAAAAAAAAAAAAAAAQ",1,2],["AAAAAAAAAAAAAAAAAAAAAg",3,4]]"#,
            ),
            (Why::Said("it was in use".into()), r#""it was in use""#),
        ] {
            assert_eq!(serde_json::to_string(&why).unwrap(), kept);
            assert_eq!(serde_json::from_str::<Why>(kept).unwrap(), why);
        }
    }
}
