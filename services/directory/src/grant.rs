//! Where the next publish of a stream starts, and whether it may start now.

use crate::Error;
use crate::record::{Reached, Record};
use astral_proto::limits::PUBLISHER_ALIVE;
use astral_proto::message::{FenceReason, GoLive, Grant, OriginState, Probed};
use astral_proto::model::StreamState;
use astral_proto::{FrameId, Incarnation, Micros, NodeId, UnixMillis};

/// How far one relay says the stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The newest frame there.
    pub newest: Option<FrameId>,
    /// Its end on the stream's timeline, microseconds.
    pub newest_dts: Option<Micros>,
    /// The incarnation of the stream there.
    pub incarnation: Incarnation,
    /// The publish there.
    pub epoch: u64,
    /// What an origin adds.
    pub origin: Option<OriginState>,
}

impl Heard {
    /// What the relay that asks to be origin holds itself.
    pub fn from_asker(ask: &GoLive) -> Self {
        let GoLive {
            newest,
            newest_dts,
            incarnation,
            epoch,
            ..
        } = *ask;
        Self {
            newest,
            newest_dts,
            incarnation,
            epoch,
            origin: None,
        }
    }

    /// What a relay answered when asked.
    pub fn from_probe(probed: &Probed) -> Self {
        let carried = probed.carried.as_ref();
        Self {
            newest: carried.and_then(|carried| carried.newest),
            newest_dts: None,
            incarnation: carried
                .map(|carried| carried.incarnation)
                .unwrap_or_default(),
            epoch: carried.map_or(0, |carried| carried.epoch),
            origin: carried.and_then(|carried| carried.origin),
        }
    }
}

/// The origin to ask before `asker` takes its place; none if there is none or it asks itself.
pub fn origin_to_ask(record: Option<&Record>, asker: NodeId) -> Option<NodeId> {
    record
        .and_then(|record| record.origin)
        .filter(|origin| *origin != asker)
}

/// Refuses a second publisher while the origin, just asked, has a first one that sends. One that has been cut off, and has
/// yet to hear of it, sends in vain: its epoch is below `epoch`, the present one.
///
/// # Errors
/// `conflict`, in words that an encoder can show.
pub fn refuse_if_alive(ask: &GoLive, epoch: u64, origin: Option<&Probed>) -> Result<(), Error> {
    let carried = origin.and_then(|probed| probed.carried.as_ref());
    if carried.is_some_and(|carried| carried.epoch < epoch) {
        return Ok(());
    }
    let Some(silent_ms) = origin.and_then(|probed| probed.publisher_silent_ms) else {
        return Ok(());
    };
    if silent_ms >= PUBLISHER_ALIVE.as_millis() as u64 {
        return Ok(());
    }
    Err(Error::PublisherActive {
        slug: ask.slug.clone(),
        silent_ms,
    })
}

/// The next publish of the stream in `record`: it goes on past everything that the record or `heard` knows of. If
/// neither knows of any history, `drawn` is the incarnation of the one that begins.
pub fn next_grant(record: &Record, heard: &[Heard], drawn: Incarnation, now: UnixMillis) -> Grant {
    let granted = record.granted.as_ref();
    let asked = heard
        .iter()
        .filter_map(|heard| heard.origin)
        .map(|state| Reached::heard(0, state, now));
    let reached: Vec<Reached> = record.reached.into_iter().chain(asked).collect();
    let origins = || reached.iter().map(|reached| reached.state);
    let newest = origins()
        .map(|state| state.newest)
        .chain(heard.iter().filter_map(|heard| heard.newest));
    let timeline = reached
        .iter()
        .map(|reached| reached.state.newest_dts + now.since(reached.media_at).into())
        .chain(heard.iter().filter_map(|heard| heard.newest_dts))
        .chain(granted.map(|granted| granted.first_dts));
    let discontinuities = origins()
        .map(|state| state.discontinuity + 1)
        .chain(granted.map(|granted| granted.discontinuity + 1));
    Grant {
        incarnation: record.incarnation.or(newest_incarnation(heard)).or(drawn),
        epoch: heard
            .iter()
            .map(|heard| heard.epoch)
            .fold(record.epoch, u64::max)
            .saturating_add(1),
        first_gop: newest
            .map(|newest| newest.gop + 1)
            .chain(granted.map(|granted| granted.first_gop))
            .max()
            .unwrap_or(0),
        first_dts: timeline.max().unwrap_or(Micros::ZERO),
        discontinuity: discontinuities.max().unwrap_or(0),
        target_duration_seconds: origins()
            .find_map(|state| state.target_duration_seconds)
            .or(granted.and_then(|granted| granted.target_duration_seconds)),
    }
}

/// The incarnation of the relay that is furthest, which survives a wipe of the state.
fn newest_incarnation(heard: &[Heard]) -> Incarnation {
    let told = heard.iter().filter(|heard| heard.incarnation.is_known());
    told.max_by_key(|heard| (heard.epoch, heard.newest))
        .map(|heard| heard.incarnation)
        .unwrap_or_default()
}

/// The stream once `grant` is `node`'s.
pub fn granted(mut record: Record, grant: Grant, node: NodeId, now: UnixMillis) -> Record {
    record.enter(StreamState::Live, now);
    record.incarnation = grant.incarnation;
    record.epoch = grant.epoch;
    record.origin = Some(node);
    record.granted = Some(grant);
    record.fence_reason = FenceReason::TakenOver;
    record.started_at = Some(now);
    record.heard_at = now;
    record.warnings.clear();
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask() -> GoLive {
        let node = NodeId::random();
        GoLive {
            slug: "demo".parse().unwrap(),
            key: None,
            node,
            newest: None,
            newest_dts: None,
            incarnation: Incarnation::default(),
            epoch: 0,
        }
    }

    fn drawn() -> Incarnation {
        Incarnation::from_bits(0xd4a3)
    }

    fn fresh() -> Record {
        Record::new(ask().slug, None, 0, UnixMillis::new(0))
    }

    fn at(gop: u64, newest_dts: u64, silent_ms: u64) -> OriginState {
        let newest = FrameId::new(gop, 9);
        OriginState {
            newest,
            newest_dts: Micros::new(newest_dts),
            discontinuity: 3,
            target_duration_seconds: Some(6),
            silent_ms,
        }
    }

    fn published() -> Record {
        let first = next_grant(&fresh(), &[], drawn(), UnixMillis::new(0));
        let mut record = granted(fresh(), first, NodeId::random(), UnixMillis::new(1_000));
        record.reached = Some(Reached::heard(
            1,
            at(17, 40_000_000, 1_000),
            UnixMillis::new(42_000),
        ));
        record
    }

    #[test]
    fn a_new_stream_starts_at_nought() {
        let grant = next_grant(
            &fresh(),
            &[Heard::default()],
            drawn(),
            UnixMillis::new(5_000),
        );
        assert_eq!(
            (
                grant.epoch,
                grant.first_gop,
                grant.first_dts,
                grant.discontinuity
            ),
            (1, 0, Micros::ZERO, 0)
        );
        assert_eq!(grant.target_duration_seconds, None);
    }

    #[test]
    fn a_resumed_stream_goes_on_by_the_time_that_passed() {
        let grant = next_grant(&published(), &[], drawn(), UnixMillis::new(44_500));
        assert_eq!(
            (grant.epoch, grant.first_gop, grant.discontinuity),
            (2, 18, 4)
        );
        assert_eq!(grant.first_dts, Micros::new(40_000_000 + 3_500_000));
        assert_eq!(grant.target_duration_seconds, Some(6));
    }

    #[test]
    fn a_relay_that_is_further_than_the_record_has_the_last_word() {
        let asked = GoLive {
            newest: Some(FrameId::new(19, 0)),
            newest_dts: Some(Micros::new(60_000_000)),
            ..ask()
        };
        let grant = next_grant(
            &published(),
            &[Heard::from_asker(&asked)],
            drawn(),
            UnixMillis::new(44_500),
        );
        assert_eq!(
            (grant.first_gop, grant.first_dts),
            (20, Micros::from_secs(60))
        );
        let probed = Heard {
            origin: Some(at(21, 50_000_000, 1)),
            ..Heard::default()
        };
        let grant = next_grant(&published(), &[probed], drawn(), UnixMillis::new(50_001));
        assert_eq!(
            (grant.first_gop, grant.first_dts),
            (22, Micros::from_millis(50_001))
        );
    }

    #[test]
    fn a_clock_ahead_of_ours_never_turns_the_timeline_back() {
        assert_eq!(
            next_grant(&published(), &[], drawn(), UnixMillis::new(30_000)).first_dts,
            Micros::new(40_000_000)
        );
    }

    #[test]
    fn an_origin_that_never_spoke_passes_its_grant_on() {
        let once = granted(
            published(),
            next_grant(&published(), &[], drawn(), UnixMillis::new(44_000)),
            NodeId::random(),
            UnixMillis::new(44_000),
        );
        let twice = next_grant(
            &Record {
                reached: None,
                ..once.clone()
            },
            &[],
            drawn(),
            UnixMillis::new(45_000),
        );
        assert_eq!(
            (twice.epoch, twice.first_gop, twice.first_dts),
            (3, 18, Micros::from_secs(43))
        );
        assert_eq!(twice.discontinuity, 5);
    }

    #[test]
    fn a_stream_without_a_history_gets_a_new_incarnation_and_keeps_it() {
        let first = next_grant(&fresh(), &[Heard::default()], drawn(), UnixMillis::new(0));
        assert_eq!(first.incarnation, drawn());
        let again = next_grant(
            &published(),
            &[],
            Incarnation::from_bits(9),
            UnixMillis::new(44_500),
        );
        assert_eq!(again.incarnation, drawn());
    }

    #[test]
    fn after_a_wipe_a_stream_goes_on_in_the_incarnation_and_past_the_epoch_that_relays_carry() {
        let carried = |bits, epoch, gop| Heard {
            newest: Some(FrameId::new(gop, 0)),
            incarnation: Incarnation::from_bits(bits),
            epoch,
            ..Heard::default()
        };
        let heard = [carried(7, 3, 40), carried(8, 5, 60), carried(0, 0, 0)];
        let grant = next_grant(&fresh(), &heard, drawn(), UnixMillis::new(0));
        assert_eq!(
            (grant.incarnation, grant.epoch, grant.first_gop),
            (Incarnation::from_bits(8), 6, 61)
        );
        let known = Record {
            incarnation: drawn(),
            epoch: 1,
            ..fresh()
        };
        let grant = next_grant(
            &known,
            &heard,
            Incarnation::from_bits(9),
            UnixMillis::new(0),
        );
        assert_eq!(
            (grant.incarnation, grant.epoch),
            (drawn(), 6),
            "what the record says comes first"
        );
    }

    #[test]
    fn only_a_publisher_that_sends_keeps_its_place() {
        let origin = |publisher_silent_ms| Probed {
            carried: None,
            publisher_silent_ms,
            process: 0,
        };
        for (probed, refused) in [
            (None, false),
            (Some(origin(None)), false),
            (Some(origin(Some(0))), true),
            (Some(origin(Some(1_999))), true),
            (Some(origin(Some(2_000))), false),
        ] {
            let told = refuse_if_alive(&ask(), 1, probed.as_ref());
            let is_active = matches!(told, Err(Error::PublisherActive { .. }));
            assert_eq!(is_active, refused);
        }
    }

    #[test]
    fn an_origin_that_asks_again_is_not_asked_about_itself() {
        let record = published();
        assert_eq!(origin_to_ask(Some(&record), record.origin.unwrap()), None);
        assert_eq!(
            origin_to_ask(Some(&record), NodeId::random()),
            record.origin
        );
        assert_eq!(origin_to_ask(None, NodeId::random()), None);
    }
}
