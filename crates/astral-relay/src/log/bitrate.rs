//! The bitrate of a stream, by the frames that are held.

use super::buffer::Buffer;
use super::gop::Gop;
use astral_proto::limits::UNKNOWN_KBPS;

/// The bitrate is the mean over this much media, in microseconds.
const MEAN_MICROS: u64 = 10_000_000;
/// Less media than this tells no bitrate.
const MICROS_MIN: u64 = 250_000;
/// The keyframe of the first GOP stands for this much media until the GOP is longer, in microseconds: the usual time between
/// two keyframes. It is much larger than the frames after it, so the plain mean would be far too high at first.
const FIRST_GOP_MICROS: u64 = 2_000_000;
const SECOND_MICROS: u64 = 1_000_000;

impl Buffer {
    /// The mean bitrate over the last 10 s, kbit/s; 0 until a quarter of a second of media is here.
    pub fn kbps(&self) -> u32 {
        let complete = self.complete();
        let all = self.span();
        if complete.micros >= MICROS_MIN {
            kbps(complete.bytes, complete.micros)
        } else if all.micros >= MICROS_MIN {
            self.first_kbps(all)
        } else {
            // A publisher whose clock stands still has sent this much at least.
            Some(kbps(complete.bytes, SECOND_MICROS))
                .filter(|kbps| *kbps > UNKNOWN_KBPS)
                .unwrap_or(0)
        }
    }

    /// The same; while it is not known, what it is at least by what has come.
    pub fn kbps_so_far(&self) -> u32 {
        match self.kbps() {
            0 => self.first_kbps(self.span()),
            kbps => kbps,
        }
    }

    /// The GOPs of the last 10 s that are complete. One that is longer stands alone.
    fn complete(&self) -> Span {
        let mut complete = self.gops.iter().rev().filter(|gop| gop.end.is_some());
        let Some(mut span) = complete.next().and_then(Span::of) else {
            return Span::default();
        };
        let end = span.from + span.micros;
        for gop in complete {
            let Some(from) = gop
                .start_dts()
                .filter(|from| end.saturating_sub(*from) <= MEAN_MICROS)
            else {
                break;
            };
            span = Span {
                from,
                micros: end - from,
                bytes: span.bytes + gop.bytes as u64,
            };
        }
        span
    }

    /// All that is held.
    fn span(&self) -> Span {
        let from = self
            .gops
            .iter()
            .find_map(Gop::start_dts)
            .unwrap_or_default();
        let end = self
            .gops
            .iter()
            .rev()
            .find_map(Gop::end_dts)
            .unwrap_or_default();
        let bytes = self.gops.iter().map(|gop| gop.bytes as u64).sum();
        Span {
            from,
            micros: end.saturating_sub(from),
            bytes,
        }
    }

    /// The bitrate of a stream of which only `all` is here, the most of it in one GOP that goes on.
    fn first_kbps(&self, all: Span) -> u32 {
        let keyframe = self.gops.back().map_or(0, Gop::keyframe_bytes);
        let others = kbps(all.bytes - keyframe, all.micros.max(MICROS_MIN));
        others.saturating_add(kbps(keyframe, all.micros.max(FIRST_GOP_MICROS)))
    }
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

fn kbps(bytes: u64, micros: u64) -> u32 {
    u32::try_from(bytes * 8_000 / micros).unwrap_or(u32::MAX)
}
