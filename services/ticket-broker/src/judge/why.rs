//! The lines that explain why a provider was chosen.
//!
//! Each ticket keeps its lines in the shared state, so they are stored as short lists. [`Why`]'s
//! `Display` writes the sentences that users see.

use super::{Candidate, Rank, Tier};
use astral_proto::NodeId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One line of the explanation. It is stored without a tag: a reader tells the variants apart by
/// the length and the types of their lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Why {
    /// A relay that may provide: its rank, its hops, and which percentage of its limit is promised.
    Suitable(#[serde(with = "short")] NodeId, ShownTier, u32, u64),
    /// A relay that may not provide.
    Unfit(#[serde(with = "short")] NodeId, Unfit),
    /// How many relays were considered without a line of their own.
    Others(usize),
    /// The chosen relay, if no other relay had its rank.
    OnlyChoice((ShortId,)),
    /// How many relays had the best rank; of the two that were drawn, the chosen one and the other
    /// one.
    ChosenOver(usize, Load, Load),
    /// A sentence.
    Text(String),
    /// A line that only a later version understands. It is kept as it is.
    Later(serde_json::Value),
}

/// A relay that was drawn: which percentage of its limit is promised, and its hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load(#[serde(with = "short")] pub NodeId, pub u64, pub u32);

/// The id of a relay in 22 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortId(#[serde(with = "short")] pub NodeId);

/// The [`Tier`] of a provider, as it is stored and shown: the asker's primary supernode has a name
/// of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShownTier {
    /// The origin, for a supernode.
    #[serde(rename = "k")]
    OriginForSupernode,
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
    /// The origin, when the rest of it is kept for supernodes.
    #[serde(rename = "r")]
    OriginReserve,
    /// A relay that was full when it last reported.
    #[serde(rename = "c")]
    Full,
    /// A kind that only a later version knows.
    #[serde(other, rename = "?")]
    Unknown,
}

impl From<Rank> for ShownTier {
    fn from(rank: Rank) -> Self {
        match rank.tier {
            Tier::OriginForSupernode => Self::OriginForSupernode,
            Tier::Supernode if !rank.not_primary => Self::Primary,
            Tier::Supernode => Self::Supernode,
            Tier::Origin => Self::Origin,
            Tier::Node => Self::Node,
            Tier::OriginReserve => Self::OriginReserve,
            Tier::Full => Self::Full,
        }
    }
}

impl ShownTier {
    fn name(self) -> &'static str {
        match self {
            Self::OriginForSupernode => "origin, kept for supernodes",
            Self::Primary => "primary supernode",
            Self::Supernode => "supernode",
            Self::Origin => "origin",
            Self::Node => "ordinary node",
            Self::OriginReserve => "origin, the rest of which is kept for supernodes",
            Self::Full => "full when last heard",
            Self::Unknown => "a kind of provider that this version does not know",
        }
    }
}

/// Why a relay may not provide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unfit {
    /// It is the asker.
    #[serde(rename = "a")]
    Asker,
    /// The asker rejects it.
    #[serde(rename = "x")]
    Excluded,
    /// It is lost.
    #[serde(rename = "l")]
    Lost,
    /// It is draining.
    #[serde(rename = "d")]
    Draining,
    /// It receives the stream through the asker.
    #[serde(rename = "b")]
    Below,
    /// Its stream no longer comes from the origin.
    #[serde(rename = "o")]
    CutOff,
    /// It is as many hops from the origin as a path may have.
    #[serde(rename = "f")]
    TooFar,
    /// A reason that only a later version knows.
    #[serde(other, rename = "?")]
    Unknown,
}

impl Unfit {
    fn reason(self) -> &'static str {
        match self {
            Self::Asker => "it is the asker",
            Self::Excluded => "the asker rejects it",
            Self::Lost => "it is lost",
            Self::Draining => "it is draining",
            Self::Below => "it is below the asker",
            Self::CutOff => "its stream does not come from the origin",
            Self::TooFar => "it is too far from the origin",
            Self::Unknown => "for a reason that this version does not know",
        }
    }
}

impl Why {
    /// The line of a relay that may provide.
    pub(super) fn suitable(candidate: &Candidate<'_>) -> Self {
        let carrier = candidate.carrier;
        Self::Suitable(
            carrier.node.uuid,
            candidate.rank.into(),
            carrier.hops(),
            carrier.load_permille() / 10,
        )
    }

    /// A sentence about one relay.
    pub fn text(node: NodeId, sentence: impl fmt::Display) -> Self {
        Self::Text(format!("{node}: {sentence}"))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suitable(node, tier, hops, percent) => {
                let tier = tier.name();
                write!(out, "{node}: {tier}, {hops} hops, {percent} % promised")
            }
            Self::Unfit(node, unfit) => write!(out, "{node}: not taken, {}", unfit.reason()),
            Self::Others(others) => {
                write!(out, "{others} others considered, none better than these")
            }
            Self::OnlyChoice((ShortId(node),)) => {
                write!(out, "{node}: chosen, no other is as good")
            }
            Self::ChosenOver(equals, chosen, rejected) => {
                let Load(node, percent, hops) = chosen;
                let Load(other, other_percent, other_hops) = rejected;
                write!(
                    out,
                    "{node}: chosen of {equals} as good, with {percent} % promised, {hops} hops \
                     over {other} with {other_percent} % promised, {other_hops} hops"
                )
            }
            Self::Text(text) => out.write_str(text),
            Self::Later(_) => out.write_str("a reason that this version does not know"),
        }
    }
}

/// Writes the id of a relay in 22 characters, for serde.
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
    fn every_line_is_stored_short_and_read_back() {
        let [this, that] = [1, 2].map(|bits| NodeId(uuid::Uuid::from_u128(bits)));
        for (why, stored) in [
            (
                Why::Suitable(this, ShownTier::Supernode, 2, 50),
                r#"["AAAAAAAAAAAAAAAAAAAAAQ","s",2,50]"#,
            ),
            (
                Why::Unfit(this, Unfit::Below),
                r#"["AAAAAAAAAAAAAAAAAAAAAQ","b"]"#,
            ),
            (Why::Others(3), "3"),
            (
                Why::OnlyChoice((ShortId(this),)),
                r#"["AAAAAAAAAAAAAAAAAAAAAQ"]"#,
            ),
            (
                Why::ChosenOver(8, Load(this, 1, 2), Load(that, 3, 4)),
                r#"[8,["AAAAAAAAAAAAAAAAAAAAAQ",1,2],["AAAAAAAAAAAAAAAAAAAAAg",3,4]]"#,
            ),
            (Why::Text("it was in use".into()), r#""it was in use""#),
        ] {
            assert_eq!(serde_json::to_string(&why).unwrap(), stored);
            assert_eq!(serde_json::from_str::<Why>(stored).unwrap(), why);
        }
    }

    #[test]
    fn what_a_later_version_stores_is_read_and_a_line_it_added_is_kept() {
        let node = NodeId(uuid::Uuid::from_u128(1));
        let read = |stored| serde_json::from_str::<Why>(stored).unwrap();
        let later_tier = read(r#"["AAAAAAAAAAAAAAAAAAAAAQ","z",2,50]"#);
        assert_eq!(later_tier, Why::Suitable(node, ShownTier::Unknown, 2, 50));
        let later_reason = read(r#"["AAAAAAAAAAAAAAAAAAAAAQ","z"]"#);
        assert_eq!(later_reason, Why::Unfit(node, Unfit::Unknown));
        let later_line = r#"[1,2,3,4,5,6]"#;
        let kept = serde_json::to_string(&read(later_line)).unwrap();
        assert_eq!(kept, later_line);
    }
}
