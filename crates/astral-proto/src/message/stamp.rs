//! The stamp of an event, by which a listener notices that it missed events.

use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The publisher of an event and the event's sequence number on its subject, written `PUBLISHER/SEQUENCE`.
///
/// Sequence numbers start at 1 and have no gaps. A process that restarts is another publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The process that published the event.
    pub publisher: Uuid,
    /// One more than that of the process's previous event on the same subject.
    pub sequence: u64,
}

/// The text is not a stamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not PUBLISHER/SEQUENCE, a UUID and a number")]
pub struct StampError(String);

impl fmt::Display for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.publisher, self.sequence)
    }
}

impl FromStr for Stamp {
    type Err = StampError;

    fn from_str(text: &str) -> Result<Self, StampError> {
        let parse = || {
            let (publisher, sequence) = text.split_once('/')?;
            Some(Self {
                publisher: publisher.parse().ok()?,
                sequence: sequence.parse().ok()?,
            })
        };
        // Quote only a part: the text comes from outside.
        parse().ok_or_else(|| StampError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_what_it_writes_and_nothing_else() {
        let stamp = Stamp {
            publisher: Uuid::from_u128(7),
            sequence: 12,
        };
        assert_eq!(stamp.to_string().parse(), Ok(stamp));
        for bad in [
            "",
            "7",
            "00000000-0000-0000-0000-000000000007",
            "x/1",
            "00000000-0000-0000-0000-000000000007/-1",
        ] {
            assert!(bad.parse::<Stamp>().is_err(), "{bad}");
        }
    }
}
