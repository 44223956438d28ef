//! The version of the relay link: the subscriber says which it understands, the provider chooses.

use std::fmt;
use std::str::FromStr;

/// The field of a subscriber's request that says which versions it understands, as `MIN-MAX`.
pub const VERSIONS_FIELD: &str = "Astral-Link";

/// Versions of the relay link, from the oldest to the newest, both included.
///
/// A subscriber that sends no [`VERSIONS_FIELD`] understands version 1. A provider then sends no [`super::Record::Version`],
/// because such a subscriber does not know that record.
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
    /// What this build reads and writes.
    pub const OURS: Versions = Versions { min: 1, max: 1 };

    /// The newest version in both; None if there is none.
    pub fn agree(self, other: Self) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }

    /// Whether `version` is one of them.
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
    fn versions_are_read_as_they_are_written_and_nothing_else_is() {
        assert_eq!(versions(&Versions::OURS.to_string()), Versions::OURS);
        for bad in ["", "1", "-", "0-1", "2-1", "1-65536", "a-b", "1-2-3"] {
            assert!(bad.parse::<Versions>().is_err(), "{bad}");
        }
    }
}
