//! Version negotiation: the subscriber says which versions it understands, and the provider chooses
//! one.

use std::fmt;
use std::str::FromStr;

/// Name of the HTTP field in which a subscriber says which versions it understands, as `MIN-MAX`.
pub const VERSIONS_FIELD: &str = "Astral-Link";

/// A range of versions, both ends included.
///
/// A subscriber that does not send [`VERSIONS_FIELD`] understands version 1. A provider then sends
/// no [`super::Record::Version`], because such a subscriber does not know that record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    min: u16,
    max: u16,
}

/// The text is not `MIN-MAX`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not MIN-MAX, two numbers from 1 to 65535 of which the first is not the larger")]
pub struct VersionsError(String);

impl Versions {
    /// The versions that this build reads and writes.
    pub const OURS: Versions = Versions { min: 1, max: 1 };

    /// Returns the newest version that is in both ranges; `None` if there is none.
    pub fn agree(self, other: Self) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }

    /// Returns whether `version` is in the range.
    pub fn contains(self, version: u16) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.min, self.max)
    }
}

impl FromStr for Versions {
    type Err = VersionsError;

    fn from_str(text: &str) -> Result<Self, VersionsError> {
        let parse = || {
            let (min, max) = text.split_once('-')?;
            let versions = Self {
                min: min.trim().parse().ok()?,
                max: max.trim().parse().ok()?,
            };
            (1..=versions.max)
                .contains(&versions.min)
                .then_some(versions)
        };
        parse().ok_or_else(|| VersionsError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(text: &str) -> Versions {
        text.parse().unwrap()
    }

    #[test]
    fn the_newest_common_version_is_chosen() {
        assert_eq!(versions("1-3").agree(versions("2-5")), Some(3));
        assert_eq!(versions("2-5").agree(versions("1-3")), Some(3));
        assert_eq!(versions("1-1").agree(versions("1-9")), Some(1));
        assert_eq!(versions("1-2").agree(versions("3-4")), None);
    }

    #[test]
    fn versions_are_parsed_strictly() {
        assert_eq!(versions(&Versions::OURS.to_string()), Versions::OURS);
        for bad in ["", "1", "-", "0-1", "2-1", "1-65536", "a-b", "1-2-3"] {
            assert!(bad.parse::<Versions>().is_err(), "{bad}");
        }
    }
}
