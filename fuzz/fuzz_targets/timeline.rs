//! Whatever a publisher sends in whatever order, an origin makes whole GOPs of it, from which every relay makes parts.
#![no_main]

use astral_media::fmp4::{CompletedPart, PartAssembler};
use astral_media::frame::{
    AudioCodec, AudioParameters, Frame, GopEnd, GopStart, Media, Track, VideoCodec, VideoParameters,
};
use astral_media::timeline::{EpochStart, Input, Timeline, TracksBefore};
use astral_proto::Incarnation;
use bytes::Bytes;
use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// Longest GOP, microseconds: the longest target duration.
const GOP_MICROS_MAX: u64 = 10_000_000;
/// How far the frames of a GOP may lie apart beyond the longest GOP, microseconds: sound may be 5 s behind the pictures at
/// its start and 5 s ahead at its end, the video counts as ended after 3 s without a picture, and the last frame may come
/// 3 s after the one before it.
const OVERHANG_MICROS_MAX: u64 = 16_000_000;
const SAMPLE_RATES: [u32; 4] = [48_000, 44_100, 7_350, 96_000];

fn beginning(bytes: &mut Unstructured<'_>) -> Result<EpochStart> {
    Ok(EpochStart {
        incarnation: Incarnation::from_bits(bytes.arbitrary()?),
        epoch: bytes.int_in_range(1..=9)?,
        first_gop: bytes.int_in_range(0..=1 << 40)?,
        first_dts: bytes.int_in_range(0..=1 << 50)?,
        discontinuity: bytes.int_in_range(0..=9)?,
        target_duration_seconds: bytes.arbitrary::<bool>()?.then_some(4),
        tracks: TracksBefore {
            video: bytes.arbitrary()?,
            audio: bytes.arbitrary()?,
        },
        first_fragment: bytes.arbitrary()?,
    })
}

/// Mostly a step as encoders make it, sometimes any.
fn timestamp(bytes: &mut Unstructured<'_>, last: &mut u32) -> Result<u32> {
    *last = match bytes.arbitrary::<u8>()? {
        0..=7 => bytes.arbitrary()?,
        8..=31 => last.wrapping_add_signed(bytes.arbitrary::<i16>()?.into()),
        step => last.wrapping_add(u32::from(step)),
    };
    Ok(*last)
}

fn input(bytes: &mut Unstructured<'_>, last: &mut u32) -> Result<Input> {
    Ok(match bytes.int_in_range(0..=15)? {
        0 => Input::Expect {
            video: bytes.arbitrary()?,
            audio: bytes.arbitrary()?,
        },
        1 => {
            let config = Bytes::copy_from_slice(&bytes.arbitrary::<[u8; 2]>()?);
            Input::VideoParameters(VideoParameters {
                codec: VideoCodec::H264,
                config,
                width: 16,
                height: 16,
            })
        }
        2 => {
            let config = Bytes::copy_from_slice(&bytes.arbitrary::<[u8; 2]>()?);
            let sample_rate = *bytes.choose(&SAMPLE_RATES)?;
            Input::AudioParameters(AudioParameters {
                codec: AudioCodec::Aac,
                config,
                sample_rate,
                channels: 2,
            })
        }
        3..=9 => Input::Video {
            timestamp_ms: timestamp(bytes, last)?,
            cts_ms: bytes.int_in_range(-(1 << 23)..=(1 << 23) - 1)?,
            keyframe: bytes.arbitrary()?,
            payload: payload(bytes)?,
        },
        10 => Input::Data {
            payload: payload(bytes)?,
        },
        _ => Input::Audio {
            timestamp_ms: timestamp(bytes, last)?,
            payload: payload(bytes)?,
        },
    })
}

fn payload(bytes: &mut Unstructured<'_>) -> Result<Bytes> {
    Ok(Bytes::from(vec![0; bytes.int_in_range(1..=8)?]))
}

/// What has been made, checked as it comes.
#[derive(Default)]
struct Made {
    open: Option<Gop>,
    next_gop: Option<u64>,
    last_dts: [Option<u64>; 3],
    ends_at: Option<u64>,
    /// The date of the first GOP since a discontinuity, and what lasted since, microseconds.
    dated: Option<Dated>,
    next_fragment: Option<u32>,
}

struct Dated {
    discontinuity: u64,
    date_ms: u64,
    lasted: u64,
}

struct Gop {
    start: GopStart,
    assembler: PartAssembler,
    first_dts: Option<u64>,
    frames: u32,
    payload_bytes: usize,
    part: u32,
    part_starts_at: u32,
    parts: Vec<CompletedPart>,
}

impl Made {
    fn take(&mut self, media: Media) {
        match media {
            Media::Start(start) => self.start(start),
            Media::Frame(frame) => self.frame(&frame),
            Media::End(end) => self.end(&end),
        }
    }

    fn start(&mut self, start: GopStart) {
        assert!(self.open.is_none(), "a GOP starts in another");
        assert!(
            self.next_gop.is_none_or(|next| next == start.gop),
            "GOP {} out of order",
            start.gop
        );
        assert!(
            self.ends_at
                .is_none_or(|ends_at| ends_at == start.starts_at),
            "GOP {} leaves a hole",
            start.gop
        );
        self.next_gop = Some(start.gop + 1);
        self.check_date(&start);
        assert!(
            self.next_fragment
                .is_none_or(|next| next == start.first_fragment),
            "fragments jump at GOP {}",
            start.gop
        );
        let assembler = PartAssembler::new(&start);
        let first_dts = None;
        let parts = Vec::new();
        self.open = Some(Gop {
            start,
            assembler,
            first_dts,
            frames: 0,
            payload_bytes: 0,
            part: 0,
            part_starts_at: 0,
            parts,
        });
    }

    fn frame(&mut self, frame: &std::sync::Arc<Frame>) {
        let last = &mut self.last_dts[frame.track as usize];
        assert!(
            last.is_none_or(|last| last < frame.dts),
            "{last:?} then {}",
            frame.dts
        );
        *last = Some(frame.dts);
        self.open.as_mut().expect("a frame has a GOP").frame(frame);
    }

    /// Dates are that of the last discontinuity and what has lasted since.
    fn check_date(&mut self, start: &GopStart) {
        let date_ms = start.program_date_time.get();
        let is_same = |dated: &Dated| dated.discontinuity == start.discontinuity;
        let dated = self.dated.take().filter(is_same);
        let dated = dated.unwrap_or(Dated {
            discontinuity: start.discontinuity,
            date_ms,
            lasted: 0,
        });
        let due_ms = dated.date_ms + dated.lasted / 1_000;
        assert!(
            date_ms.abs_diff(due_ms) <= 1,
            "GOP {} is dated {date_ms}, {due_ms} is due",
            start.gop
        );
        self.dated = Some(dated);
    }

    fn end(&mut self, end: &GopEnd) {
        let gop = self.open.take().expect("an end has a GOP");
        self.ends_at = Some(gop.start.starts_at + u64::from(end.duration));
        self.next_fragment = Some(gop.start.first_fragment.wrapping_add(gop.part + 1));
        if let Some(dated) = &mut self.dated {
            dated.lasted += u64::from(end.duration);
        }
        gop.end(end);
    }
}

impl Gop {
    fn frame(&mut self, frame: &std::sync::Arc<Frame>) {
        assert_eq!(
            (frame.id.gop, frame.id.number),
            (self.start.gop, self.frames)
        );
        let first = *self.first_dts.get_or_insert(frame.dts);
        assert!(
            frame.dts.saturating_sub(first) < GOP_MICROS_MAX + OVERHANG_MICROS_MAX,
            "a GOP from {first} to {}",
            frame.dts
        );
        assert!(
            frame.part == self.part || frame.part == self.part + 1,
            "{} then {}",
            self.part,
            frame.part
        );
        let is_part_start = frame.part == self.part + 1;
        assert!(
            is_part_start == (frame.part_starts_at > self.part_starts_at),
            "{frame:?}"
        );
        self.part_starts_at = frame.part_starts_at;
        let starts = self.frames == 0 && self.start.independent;
        assert!(
            !starts || frame.keyframe,
            "nothing can be decoded from the start of GOP {}",
            self.start.gop
        );
        self.part = frame.part;
        self.frames += 1;
        self.payload_bytes += if frame.track == Track::Data {
            0
        } else {
            frame.payload.len()
        };
        self.parts.extend(
            self.assembler
                .push(frame.clone())
                .expect("an origin's frames fit together"),
        );
    }

    fn end(mut self, end: &GopEnd) {
        assert!(self.frames > 0, "GOP {} is empty", end.gop);
        assert_eq!((end.gop, end.frames), (self.start.gop, self.frames));
        assert!((4..=10).contains(&end.target_duration_seconds.expect("it is fixed by now")));
        self.parts
            .extend(self.assembler.end(end).expect("an origin's GOPs end well"));
        let target = u64::from(end.target_duration_seconds.unwrap_or_default()) * 1_000_000;
        assert!(
            u64::from(end.duration) <= target,
            "EXTINF {} us over {target}",
            end.duration
        );
        let sum: u64 = self.parts.iter().map(|part| part.duration).sum();
        assert_eq!(
            sum,
            u64::from(end.duration),
            "a segment lasts as long as its parts"
        );
        let numbers: Vec<_> = self.parts.iter().map(|part| part.part).collect();
        assert_eq!(
            numbers,
            (0..=self.part).collect::<Vec<_>>(),
            "parts are numbered without a hole"
        );
        for part in &self.parts {
            let bytes: usize = part.bytes.pieces.iter().map(Bytes::len).sum();
            assert_eq!(bytes, part.bytes.length);
            self.payload_bytes = self
                .payload_bytes
                .checked_sub(payload_bytes(part))
                .expect("no frame comes twice");
        }
        assert_eq!(self.payload_bytes, 0, "every frame but data is in a part");
    }
}

/// The media data of a part: what its mdat holds.
fn payload_bytes(part: &CompletedPart) -> usize {
    let bytes = part.bytes.pieces.concat();
    let moof = u32::from_be_bytes(*bytes.first_chunk().expect("moof has a length")) as usize;
    assert_eq!(&bytes[moof + 4..moof + 8], b"mdat");
    bytes.len() - moof - 8
}

fn publish(bytes: &mut Unstructured<'_>) -> Result<()> {
    let beginning = beginning(bytes)?;
    let mut timeline = Timeline::new(beginning);
    let mut made = Made::default();
    let mut out = Vec::new();
    made.next_gop = Some(beginning.first_gop);
    let mut last = bytes.arbitrary()?;
    while !bytes.is_empty() {
        timeline.push(input(bytes, &mut last)?, 1_700_000_000_000.into(), &mut out);
        out.drain(..).for_each(|media| made.take(media));
    }
    timeline.finish(&mut out);
    out.drain(..).for_each(|media| made.take(media));
    assert!(made.open.is_none(), "the last GOP has its end");
    Ok(())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Data that runs out in the middle of a message is only shorter.
    _ = publish(&mut Unstructured::new(data));
});
