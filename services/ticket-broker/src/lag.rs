//! How far a relay is behind the origin of its stream.

use crate::carrier::Carrier;
use astral_proto::message::Progress;
use astral_proto::{Micros, UnixMillis};

/// An origin that has appended no frame for this long counts as stopped, milliseconds.
const FLOWS_MS: u64 = 1_000;

/// The origin among `carriers`. If two relays report that they are the origin, the one with the
/// newer epoch.
pub fn origin_of<'a>(carriers: impl Iterator<Item = &'a Carrier>) -> Option<&'a Carrier> {
    let epoch = |carrier: &Carrier| carrier.carried.as_ref().map_or(0, |carried| carried.epoch);
    carriers
        .filter(|carrier| carrier.path().len() == 1)
        .max_by_key(|carrier| epoch(carrier))
}

/// How far the newest frame of `relay` is behind that of `origin`, milliseconds. The two report at
/// different times, so this computes where the origin was when `relay` reported. None until both
/// have reported frames of the same incarnation.
pub fn behind_ms(relay: &Carrier, origin: &Carrier) -> Option<u64> {
    let of_relay = relay.carried.as_ref()?;
    let of_origin = origin.carried.as_ref()?;
    let reached = of_relay.progress?;
    let newest = of_origin.progress?;
    if of_relay.incarnation != of_origin.incarnation {
        return None;
    }
    if of_relay.newest >= of_origin.newest {
        return Some(0);
    }
    let origin_then = end_at(newest, origin.as_of, relay.as_of);
    Some((origin_then - reached.end_dts).as_millis())
}

/// Estimates where the newest frame of the origin ended on the timeline at the time `then`. The
/// origin reported `reported` at the time `as_of`. If `then` is earlier, the time between is
/// subtracted. If `then` is later, the time between is added, but only if the origin was sending.
fn end_at(reported: Progress, as_of: UnixMillis, then: UnixMillis) -> Micros {
    let earlier = Micros::from(as_of.since(then));
    let later = if reported.silent_ms < FLOWS_MS {
        Micros::from(then.since(as_of))
    } else {
        Micros::ZERO
    };
    reported.end_dts + later - earlier
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::tests::carrier;
    use astral_proto::model::Role;
    use astral_proto::{FrameId, NodeId};

    /// A relay that reports at `as_of` that its newest frame is in `gop`. There is one GOP a
    /// second.
    fn at(path: &[NodeId], gop: u64, silent_ms: u64, as_of: u64) -> Carrier {
        let mut carrier = Carrier {
            as_of: UnixMillis::new(as_of),
            ..carrier(Role::Node, path)
        };
        let carried = carrier.carried.as_mut().unwrap();
        carried.newest = Some(FrameId::new(gop, 0));
        carried.progress = Some(Progress {
            end_dts: Micros::new(gop * 1_000_000),
            silent_ms,
        });
        carrier
    }

    fn ids() -> [NodeId; 2] {
        std::array::from_fn(|_| NodeId::random())
    }

    #[test]
    fn a_relay_that_reports_at_another_time_is_not_behind_because_of_that() {
        let [origin, relay] = ids();
        let newest = at(&[origin], 100, 10, 50_000);
        for (gop, as_of) in [(100, 50_000), (102, 52_000), (98, 48_000), (101, 50_900)] {
            assert_eq!(
                behind_ms(&at(&[origin, relay], gop, 10, as_of), &newest),
                Some(0),
                "{gop}"
            );
        }
    }

    #[test]
    fn a_relay_that_gets_nothing_falls_behind_as_time_passes() {
        let [origin, relay] = ids();
        let newest = at(&[origin], 100, 10, 50_000);
        for (gop, as_of, behind) in [
            (97, 50_000, 3_000),
            (97, 52_000, 5_000),
            (97, 49_000, 2_000),
        ] {
            assert_eq!(
                behind_ms(&at(&[origin, relay], gop, 3_000, as_of), &newest),
                Some(behind),
                "{as_of}"
            );
        }
    }

    #[test]
    fn no_relay_falls_further_behind_an_origin_whose_publisher_is_away() {
        let [origin, relay] = ids();
        let stopped = at(&[origin], 100, 4_000, 50_000);
        assert_eq!(
            behind_ms(&at(&[origin, relay], 100, 5_000, 51_000), &stopped),
            Some(0)
        );
        assert_eq!(
            behind_ms(&at(&[origin, relay], 99, 5_000, 51_000), &stopped),
            Some(1_000)
        );
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let [origin, relay] = ids();
        let newest = at(&[origin], 100, 10, 50_000);
        assert_eq!(
            behind_ms(&carrier(Role::Node, &[origin, relay]), &newest),
            None,
            "it has not reported"
        );
        assert_eq!(
            behind_ms(&newest, &carrier(Role::Node, &[origin])),
            None,
            "the origin has not reported"
        );
        let mut other = at(&[origin, relay], 3, 10, 50_000);
        other.carried.as_mut().unwrap().incarnation = astral_proto::Incarnation::from_bits(7);
        assert_eq!(behind_ms(&other, &newest), None, "another incarnation");
    }

    #[test]
    fn the_origin_is_the_one_with_the_newest_epoch() {
        let [old, new] = ids();
        let mut next = at(&[new], 100, 10, 50_000);
        next.carried.as_mut().unwrap().epoch = 2;
        let all = [
            at(&[old], 90, 9_000, 50_000),
            next,
            at(&[new, old], 99, 10, 50_000),
        ];
        assert_eq!(
            origin_of(all.iter()).map(|origin| origin.node.uuid),
            Some(new)
        );
        assert_eq!(origin_of([].iter()), None);
    }
}
