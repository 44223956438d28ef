//! The history of a stream that its media URLs belong to.
//!
//! Epochs and GOPs start again at their first numbers when the state is lost. Caches keep media for a year, so a URL
//! must never name two contents: each history has an *incarnation*, drawn at random, which is part of every media URL.

use crate::{Code, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// One uninterrupted history of a stream: a random number that the directory draws. Written as 8 hexadecimal digits.
///
/// The default, all zeros, is never drawn. It means "unknown", as in messages of programs that do not know incarnations.
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
#[schemars(extend("pattern" = "^[0-9a-f]{8}$"))]
pub struct Incarnation(u32);

impl Incarnation {
    /// The number of digits.
    const DIGITS: usize = 8;

    /// A new random incarnation, for tests. Programs take it from their `Env`.
    pub fn random() -> Self {
        // The first 32 bits of a version 4 UUID are all random (RFC 9562, 5.4).
        let (bits, _) = Uuid::new_v4().as_u64_pair();
        Self(((bits >> 32) as u32).max(1))
    }

    /// The incarnation with these bits, as the relay link carries them.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits of the incarnation.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether the incarnation is known.
    pub fn is_known(self) -> bool {
        self.0 != 0
    }

    /// This incarnation if it is known, otherwise `other`.
    pub fn or(self, other: Self) -> Self {
        if self.is_known() { self } else { other }
    }

    /// Whether both are known and differ, so that their numbers cannot be compared.
    pub fn differs_from(self, other: Self) -> bool {
        self.is_known() && other.is_known() && self != other
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}", self.0)
    }
}

impl FromStr for Incarnation {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        let bits = u32::from_str_radix(text, 16).ok().map(Self);
        // Only as it is written: a URL has one spelling.
        bits.filter(|read| text.len() == Self::DIGITS && read.to_string() == text)
            .ok_or_else(|| {
                let shown: String = text.chars().take(2 * Self::DIGITS).collect();
                let detail =
                    format!("incarnation {shown:?} must be 8 lower-case hexadecimal digits");
                Problem::new(Code::BadRequest, detail)
            })
    }
}

impl TryFrom<String> for Incarnation {
    type Error = Problem;
    fn try_from(text: String) -> Result<Self, Problem> {
        text.parse()
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> String {
        incarnation.to_string()
    }
}

/// One epoch of one incarnation, the folder of its media URLs. Written `INCARNATION-EPOCH`, such as `5eed0a1b-3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochId {
    /// The history.
    pub incarnation: Incarnation,
    /// The publish within it.
    pub epoch: u64,
}

impl fmt::Display for EpochId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.incarnation, self.epoch)
    }
}

impl FromStr for EpochId {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        let read = text.split_once('-').and_then(|(incarnation, epoch)| {
            Some(Self {
                incarnation: incarnation.parse().ok()?,
                epoch: epoch.parse().ok()?,
            })
        });
        read.filter(|id| id.to_string() == text).ok_or_else(|| {
            Problem::new(
                Code::BadRequest,
                format!("{text:?} is not INCARNATION-EPOCH, such as 5eed0a1b-3"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_ids_read_back_what_they_write_and_have_one_spelling() {
        let id = EpochId {
            incarnation: Incarnation::from_bits(0x00ed_0a1b),
            epoch: 3,
        };
        assert_eq!(id.to_string(), "00ed0a1b-3");
        assert_eq!("00ed0a1b-3".parse::<EpochId>().unwrap(), id);
        for bad in [
            "",
            "3",
            "00ed0a1b",
            "00ed0a1b-",
            "ed0a1b-3",
            "00ED0A1B-3",
            "00ed0a1b-03",
            "00ed0a1b-+3",
        ] {
            assert!(bad.parse::<EpochId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_drawn_is_known_and_travels_as_text() {
        let drawn = Incarnation::random();
        assert!(drawn.is_known() && !Incarnation::default().is_known());
        let text = serde_json::to_string(&drawn).unwrap();
        assert_eq!(text, format!("\"{drawn}\""));
        assert_eq!(serde_json::from_str::<Incarnation>(&text).unwrap(), drawn);
        assert!(serde_json::from_str::<Incarnation>("\"+1234567\"").is_err());
    }

    #[test]
    fn what_is_not_known_differs_from_nothing() {
        let one = Incarnation::from_bits(1);
        let other = Incarnation::from_bits(2);
        assert!(one.differs_from(other) && !one.differs_from(one));
        assert!(
            !one.differs_from(Incarnation::default()) && !Incarnation::default().differs_from(one)
        );
        assert_eq!(
            (Incarnation::default().or(one), other.or(one)),
            (one, other)
        );
    }
}
