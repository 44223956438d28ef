//! What the owner of a stream changes: whether it is on air at all, and the key to publish it.

use crate::Error;
use crate::publish_key::StoredKey;
use crate::record::Record;
use astral_proto::message::{ChangeStream, FenceReason};
use astral_proto::model::StreamState;
use astral_proto::{NodeId, Secret, Slug, UnixMillis};

/// What is wanted; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Whether publishers are taken.
    pub streaming: Option<bool>,
    /// The key that publishers need from now on.
    pub key: Option<NewKey>,
}

/// A key that an owner sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// As it rests.
    pub stored: StoredKey,
    /// As it was said, by which it is seen whether it is another one.
    pub said: Secret,
}

impl NewKey {
    /// Hashes `key` with a random `salt`.
    ///
    /// # Errors
    /// `bad_request` if an encoder cannot send it.
    pub fn new(key: &Secret, salt: [u8; 16]) -> Result<Self, Error> {
        Ok(Self {
            stored: StoredKey::new(key, salt)?,
            said: key.clone(),
        })
    }
}

/// What a wish comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The stream now.
    pub record: Record,
    /// The origin whose publisher must stop, and the epoch that tells it.
    pub fence: Option<(NodeId, u64)>,
}

impl Wish {
    /// Reads a request, its key hashed with `salt`.
    ///
    /// # Errors
    /// `bad_request` if it wants nothing, or the key is one that an encoder cannot send.
    pub fn new(ask: &ChangeStream, salt: [u8; 16]) -> Result<Self, Error> {
        let ChangeStream {
            slug,
            streaming,
            key,
        } = ask;
        if streaming.is_none() && key.is_none() {
            return Err(Error::NothingToChange(slug.clone()));
        }
        let key = key.as_ref().map(|key| NewKey::new(key, salt)).transpose()?;
        Ok(Self {
            streaming: *streaming,
            key,
        })
    }

    /// What it makes of `record`. A pause and another key cut the publisher off that there is.
    pub fn of(self, mut record: Record, now: UnixMillis) -> Changed {
        let mut fence = None;
        if let Some(key) = self.key
            && !record
                .key
                .as_ref()
                .is_some_and(|known| known.opens(&key.said))
        {
            fence = record.cut_off(FenceReason::KeyChanged);
            record.change_key(key.stored, now);
        }
        match (self.streaming, record.state) {
            (Some(false), state) if state != StreamState::Paused => {
                fence = record.cut_off(FenceReason::Paused).or(fence);
                record.enter(StreamState::Paused, now);
            }
            (Some(true), StreamState::Paused) => {
                let never = record.started_at.is_none();
                record.enter(
                    if never {
                        StreamState::Idle
                    } else {
                        StreamState::Ended
                    },
                    now,
                );
            }
            _ => {}
        }
        Changed { record, fence }
    }
}

/// Refuses a publisher of a stream that is paused.
///
/// # Errors
/// `forbidden`, in words that an encoder can show.
pub fn refuse_if_paused(slug: &Slug, record: Option<&Record>) -> Result<(), Error> {
    if record.is_some_and(|record| record.state == StreamState::Paused) {
        return Err(Error::Paused(slug.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{granted, next_grant};
    use crate::liveness::{Report, Verdict, report, time_passed};
    use astral_proto::message::OriginState;
    use astral_proto::{FrameId, Incarnation, Kbps, Micros};

    fn fresh() -> Record {
        Record::new("demo".parse().unwrap(), None, 0, UnixMillis::new(0))
    }

    fn live() -> Record {
        let grant = next_grant(&fresh(), &[], Incarnation::from_bits(1), UnixMillis::new(0));
        granted(fresh(), grant, NodeId::random(), UnixMillis::new(0))
    }

    fn streaming(wanted: bool) -> Wish {
        Wish {
            streaming: Some(wanted),
            key: None,
        }
    }

    fn said(record: &Record, epoch: u64) -> Report {
        let newest = FrameId::new(9, 0);
        let discontinuity = 0;
        let target_duration_seconds = None;
        let state = OriginState {
            newest,
            newest_dts: Micros::new(5),
            discontinuity,
            target_duration_seconds,
            silent_ms: 5,
        };
        Report {
            slug: record.slug.clone(),
            node: record.origin.unwrap(),
            incarnation: record.incarnation,
            epoch,
            kbps: Kbps::new(1),
            state,
        }
    }

    #[test]
    fn a_pause_stops_the_publisher_of_a_live_stream() {
        let before = live();
        let Changed { record, fence } = streaming(false).of(before.clone(), UnixMillis::new(7));
        assert_eq!(
            (record.state, record.state_since, record.epoch),
            (StreamState::Paused, UnixMillis::new(7), 2)
        );
        assert_eq!(fence, before.origin.map(|origin| (origin, 2)));
        assert_eq!(
            streaming(false).of(record.clone(), UnixMillis::new(9)),
            Changed {
                record,
                fence: None
            },
            "paused already"
        );
    }

    #[test]
    fn a_stream_that_nobody_publishes_is_paused_quietly_and_comes_back_as_it_was() {
        let paused = streaming(false).of(fresh(), UnixMillis::new(7));
        assert_eq!(
            (paused.record.state, paused.fence),
            (StreamState::Paused, None)
        );
        assert_eq!(
            streaming(true)
                .of(paused.record, UnixMillis::new(8))
                .record
                .state,
            StreamState::Idle
        );
        let once_live = streaming(false).of(live(), UnixMillis::new(7)).record;
        assert_eq!(
            streaming(true)
                .of(once_live, UnixMillis::new(8))
                .record
                .state,
            StreamState::Ended
        );
        let live = live();
        assert_eq!(
            streaming(true).of(live.clone(), UnixMillis::new(8)).record,
            live,
            "nothing to resume"
        );
    }

    #[test]
    fn a_paused_stream_takes_no_publisher() {
        let paused = streaming(false).of(live(), UnixMillis::new(7)).record;
        let refused = refuse_if_paused(&paused.slug, Some(&paused)).unwrap_err();
        assert_eq!(refused, Error::Paused(paused.slug.clone()));
        assert!(refuse_if_paused(&paused.slug, Some(&live())).is_ok());
        assert!(refuse_if_paused(&paused.slug, None).is_ok());
    }

    #[test]
    fn an_origin_that_goes_on_through_a_pause_is_fenced_whatever_epoch_it_gave_itself() {
        let paused = streaming(false).of(live(), UnixMillis::new(7)).record;
        assert_eq!(
            report(paused.clone(), &said(&paused, 1), UnixMillis::new(8)),
            Verdict::Fence(2)
        );
        for own in [2, 5] {
            let Verdict::HeldBack(after) =
                report(paused.clone(), &said(&paused, own), UnixMillis::new(8))
            else {
                panic!("epoch {own} goes on")
            };
            assert_eq!((after.state, after.epoch), (StreamState::Paused, own + 1));
            assert_eq!(
                next_grant(&after, &[], Incarnation::from_bits(1), UnixMillis::new(9)).first_gop,
                10,
                "numbering goes on after it"
            );
        }
        assert_eq!(
            time_passed(paused, UnixMillis::new(1_000_000), false, UnixMillis::ZERO),
            None
        );
    }

    fn with_key(key: &str) -> Wish {
        let ask = ChangeStream {
            slug: live().slug,
            streaming: None,
            key: Some(key.into()),
        };
        Wish::new(&ask, [1; 16]).unwrap()
    }

    #[test]
    fn another_key_cuts_the_publisher_off_and_leaves_viewers_the_grace_window() {
        let before = live();
        let Changed { record, fence } = with_key("next").of(before.clone(), UnixMillis::new(7));
        assert!(record.key.as_ref().unwrap().opens("next"));
        assert_eq!(
            (record.state, record.state_since, record.epoch),
            (StreamState::Grace, UnixMillis::new(7), 2)
        );
        assert_eq!(fence, before.origin.map(|origin| (origin, 2)));
        assert_eq!(record.fence_reason, FenceReason::KeyChanged);
        assert_eq!(
            report(record.clone(), &said(&record, 1), UnixMillis::new(8)),
            Verdict::Fence(2),
            "it goes on all the same"
        );
        let again = with_key("next").of(record.clone(), UnixMillis::new(9));
        assert_eq!(
            again,
            Changed {
                record,
                fence: None
            },
            "the same key again changes nothing"
        );
    }

    #[test]
    fn a_key_of_a_stream_that_nobody_publishes_is_changed_quietly() {
        let Changed { record, fence } = with_key("next").of(fresh(), UnixMillis::new(7));
        assert!(record.key.unwrap().opens("next"));
        assert_eq!(
            (record.state, record.epoch, fence),
            (StreamState::Idle, 0, None)
        );
    }

    #[test]
    fn a_key_is_changed_and_the_stream_paused_at_once() {
        let wish = Wish {
            streaming: Some(false),
            ..with_key("next")
        };
        let Changed { record, fence } = wish.of(live(), UnixMillis::new(7));
        assert_eq!(
            (record.state, record.fence_reason),
            (StreamState::Paused, FenceReason::Paused)
        );
        assert_eq!(fence.map(|(_, epoch)| epoch), Some(record.epoch));
    }

    #[test]
    fn a_wish_wants_something() {
        let ask = ChangeStream {
            slug: live().slug,
            streaming: None,
            key: None,
        };
        let refused = Wish::new(&ask, [1; 16]).unwrap_err();
        assert_eq!(refused, Error::NothingToChange(ask.slug.clone()));
        let empty = ChangeStream {
            key: Some(Secret::default()),
            ..ask
        };
        assert_eq!(
            Wish::new(&empty, [1; 16]).unwrap_err(),
            Error::KeyLength { bytes: 0 }
        );
    }
}
