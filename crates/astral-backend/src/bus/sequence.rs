//! Numbering what is published, and noticing what has not arrived.

use astral_proto::message::event::Stamp;
use astral_runtime::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use uuid::Uuid;

/// Subjects that one process numbers its events on; on further ones they go without a stamp.
const SUBJECTS_MAX: usize = 1024;
/// Publishers on their subjects that one subscriber follows; when there are more, all are begun with anew.
const FOLLOWED_MAX: usize = 4096;

/// Numbers the events of one process.
pub(super) struct Publisher {
    id: Uuid,
    last: Mutex<HashMap<String, u64>>,
}

impl Default for Publisher {
    fn default() -> Self {
        Self {
            id: Uuid::from_u128(rand::random()),
            last: Mutex::default(),
        }
    }
}

impl Publisher {
    /// The stamp of the next event on `subject`.
    pub(super) fn stamp(&self, subject: &str) -> Option<Stamp> {
        let mut last = lock(&self.last);
        if !last.contains_key(subject) && last.len() >= SUBJECTS_MAX {
            return None;
        }
        let sequence = last.entry(subject.to_owned()).or_default();
        *sequence += 1;
        Some(Stamp {
            publisher: self.id,
            sequence: *sequence,
        })
    }
}

/// Counts the events that have not arrived, by those that come after them.
#[derive(Default)]
pub(super) struct Follower {
    expected: HashMap<(Uuid, String), u64>,
    missed: u64,
}

impl Follower {
    /// An event has arrived on `subject`. What a publisher sent before the first one that came is not known of.
    pub(super) fn take(&mut self, subject: &str, stamp: Stamp) {
        if self.expected.len() >= FOLLOWED_MAX {
            self.expected.clear();
        }
        let next = stamp.sequence.saturating_add(1);
        let expected = self
            .expected
            .entry((stamp.publisher, subject.to_owned()))
            .or_insert(stamp.sequence);
        self.missed += stamp.sequence.saturating_sub(*expected);
        *expected = next.max(*expected);
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_is_missed_for_each_publisher_and_subject_by_itself() {
        let one = Publisher::default();
        let other = Publisher::default();
        let mut follower = Follower::default();
        for (publisher, subject, arrives) in [
            (&one, "a", true),
            (&one, "b", true),
            (&other, "a", true),
            (&one, "a", false),
            (&one, "a", false),
            (&one, "b", true),
            (&one, "a", true),
            (&other, "a", true),
        ] {
            let stamp = publisher.stamp(subject).unwrap();
            if arrives {
                follower.take(subject, stamp);
            }
        }
        assert_eq!(follower.missed(), 2);
    }

    #[test]
    fn an_event_that_comes_twice_or_late_is_not_missed() {
        let publisher = Publisher::default();
        let first = publisher.stamp("a").unwrap();
        let second = publisher.stamp("a").unwrap();
        let mut follower = Follower::default();
        [first, second, second, first]
            .into_iter()
            .for_each(|stamp| follower.take("a", stamp));
        assert_eq!(follower.missed(), 0);
    }

    #[test]
    fn subjects_without_end_are_not_remembered() {
        let publisher = Publisher::default();
        let stamped = (0..2000)
            .filter(|number| publisher.stamp(&number.to_string()).is_some())
            .count();
        assert_eq!(stamped, SUBJECTS_MAX);
        assert!(publisher.stamp("0").is_some());
    }
}
