//! The bitrate of a stream, by the frames in its log.

use super::gop::Gop;
use super::gops::Gops;
use astral_proto::limits::UNKNOWN_KBPS;

/// The bitrate is the mean over this much media, in microseconds.
const MEAN_MICROS: u64 = 10_000_000;
/// The bitrate of less media than this is not known.
const MICROS_MIN: u64 = 250_000;
/// The keyframe of the first GOP counts as if it lasted this long, in microseconds, until the GOP
/// is longer: the usual time between two keyframes. A keyframe is much larger than the frames after
/// it, so the plain mean would be far too high at first.
const FIRST_GOP_MICROS: u64 = 2_000_000;
const SECOND_MICROS: u64 = 1_000_000;

/// The mean bitrate over the last 10 s, kbit/s; 0 until a quarter of a second of media is here.
pub fn kbps(gops: &Gops) -> u32 {
    let complete = complete(gops);
    let all = all(gops);
    if complete.micros >= MICROS_MIN {
        to_kbps(complete.bytes, complete.micros)
    } else if all.micros >= MICROS_MIN {
        first_kbps(gops, all)
    } else {
        // A publisher whose clock stands still has sent at least this much.
        Some(to_kbps(complete.bytes, SECOND_MICROS))
            .filter(|kbps| *kbps > UNKNOWN_KBPS.get())
            .unwrap_or(0)
    }
}

/// As [`kbps`], but a lower bound while the bitrate is not known.
pub fn kbps_so_far(gops: &Gops) -> u32 {
    match kbps(gops) {
        0 => first_kbps(gops, all(gops)),
        kbps => kbps,
    }
}

/// The complete GOPs of the last 10 s. If the newest of them is longer, it is the only one.
fn complete(gops: &Gops) -> Span {
    let mut complete = gops.iter().rev().filter(|gop| gop.end.is_some());
    let Some(mut span) = complete.next().and_then(Span::of) else {
        return Span::default();
    };
    let end = span.from + span.micros;
    for gop in complete {
        let Some(from) = gop.start_dts() else {
            break;
        };
        // Times go back where a provider has lost its history: what is older says nothing then.
        let Some(micros) = end
            .checked_sub(from)
            .filter(|micros| *micros <= MEAN_MICROS)
        else {
            break;
        };
        span = Span {
            from,
            micros,
            bytes: span.bytes + gop.bytes as u64,
        };
    }
    span
}

/// Everything that is held.
fn all(gops: &Gops) -> Span {
    let from = gops.iter().find_map(Gop::start_dts).unwrap_or_default();
    let end = gops.end_dts().unwrap_or_default();
    Span {
        from,
        micros: end.saturating_sub(from),
        bytes: gops.iter().map(|gop| gop.bytes as u64).sum(),
    }
}

/// The bitrate of a stream that has only just begun, where most of `all` is one GOP that goes on.
fn first_kbps(gops: &Gops, all: Span) -> u32 {
    let keyframe = gops.newest().map_or(0, Gop::keyframe_bytes);
    let others = to_kbps(all.bytes - keyframe, all.micros.max(MICROS_MIN));
    others.saturating_add(to_kbps(keyframe, all.micros.max(FIRST_GOP_MICROS)))
}

/// A piece of a stream.
#[derive(Clone, Copy, Default)]
struct Span {
    /// Where it begins on the stream's timeline, microseconds.
    from: u64,
    micros: u64,
    bytes: u64,
}

impl Span {
    fn of(gop: &Gop) -> Option<Self> {
        let (from, end) = gop.start_dts().zip(gop.end_dts())?;
        Some(Self {
            from,
            micros: end.saturating_sub(from),
            bytes: gop.bytes as u64,
        })
    }
}

fn to_kbps(bytes: u64, micros: u64) -> u32 {
    u32::try_from(bytes * 8_000 / micros).unwrap_or(u32::MAX)
}
