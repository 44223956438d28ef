//! Reads the boxes of ISO/IEC 14496-12 that initialization sections and fragments contain.

use super::{Faults, Rule};
use std::ops::Range;

/// `tfhd`: default-base-is-moof.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// `trun`: data offset, then duration, size, flags and composition offset of each sample.
const TRUN_FIELDS: u32 = 0x01 | 0x100 | 0x200 | 0x400 | 0x800;
/// Sample flags: sample_is_non_sync_sample.
const NON_SYNC: u32 = 0x01_0000;

/// A track of an initialization section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its id.
    pub id: u32,
    /// `vide` or `soun`.
    pub handler: String,
    /// Units per second.
    pub timescale: u32,
    /// Width and height in the sample entry; 0 for audio.
    pub size: (u16, u16),
    /// The codec as in CODECS, if it is known here.
    pub codec: Option<String>,
}

/// An initialization section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// Its tracks.
    pub tracks: Vec<Track>,
}

impl Init {
    /// Returns the video track, if there is one.
    pub fn video(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| track.handler == "vide")
    }
}

/// A sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Duration in units of the timescale.
    pub duration: u32,
    /// Whether it is marked as a sync sample.
    pub sync: bool,
    /// Presentation time minus decoding time, in units of the timescale.
    pub offset: i32,
    /// Position of its bytes in what was read.
    pub bytes: Range<usize>,
}

/// A moof with its mdat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// `mfhd.sequence_number`.
    pub sequence_number: u32,
    /// For each track: its id, `tfdt` and samples.
    pub tracks: Vec<(u32, u64, Vec<Sample>)>,
}

/// A box: its type, its body, and the position of the body in what was read.
struct Box<'a> {
    kind: [u8; 4],
    body: &'a [u8],
    at: usize,
}

/// Returns the boxes of `bytes`, which begin at position `at`; `None` if they do not fill it
/// exactly.
fn boxes(bytes: &[u8], at: usize) -> Option<Vec<Box<'_>>> {
    let mut found = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let length = u32_at(bytes, from)? as usize;
        let kind = bytes.get(from + 4..from + 8)?.try_into().ok()?;
        let body = bytes.get(from + 8..from.checked_add(length).filter(|_| length >= 8)?)?;
        found.push(Box {
            kind,
            body,
            at: at + from + 8,
        });
        from += length;
    }
    Some(found)
}

fn child<'a>(parents: &[Box<'a>], path: &[&[u8; 4]]) -> Option<Box<'a>> {
    let (first, rest) = path.split_first()?;
    let found = parents.iter().find(|known| known.kind == **first)?;
    if rest.is_empty() {
        return Some(Box {
            kind: found.kind,
            body: found.body,
            at: found.at,
        });
    }
    child(&boxes(found.body, found.at)?, rest)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Reads an initialization section (rfc8216bis, 3.1.2).
pub fn init(bytes: &[u8], faults: &mut Faults) -> Init {
    let read = read_init(bytes, faults);
    faults.require(read.is_some(), Rule::InitSection, || {
        "its boxes are not whole".into()
    });
    read.unwrap_or_default()
}

fn read_init(bytes: &[u8], faults: &mut Faults) -> Option<Init> {
    let top = boxes(bytes, 0)?;
    let kinds: Vec<_> = top.iter().map(|known| known.kind).collect();
    faults.require(kinds == [*b"ftyp", *b"moov"], Rule::InitSection, || {
        format!("boxes {kinds:?}")
    });
    let brands = child(&top, &[b"ftyp"])?.body;
    let has_brand = brands
        .chunks(4)
        .any(|brand| matches!(brand, b"iso6" | b"iso7" | b"iso8" | b"iso9" | b"cmfc"));
    faults.require(has_brand, Rule::InitSection, || {
        "no brand of iso6 or later".into()
    });
    let moov = boxes(child(&top, &[b"moov"])?.body, 0)?;
    let mvex = boxes(child(&moov, &[b"mvex"])?.body, 0)?;
    let extended: Vec<_> = mvex.iter().filter(|known| &known.kind == b"trex").collect();
    let mut tracks = Vec::new();
    for trak in moov.iter().filter(|known| &known.kind == b"trak") {
        let track = read_track(&boxes(trak.body, 0)?, faults)?;
        let is_extended = extended
            .iter()
            .any(|trex| u32_at(trex.body, 4) == Some(track.id));
        faults.require(is_extended, Rule::InitSection, || {
            format!("track {} has no trex", track.id)
        });
        tracks.push(track);
    }
    faults.require(!tracks.is_empty(), Rule::InitSection, || "no track".into());
    Some(Init { tracks })
}

fn read_track(trak: &[Box<'_>], faults: &mut Faults) -> Option<Track> {
    let tkhd = child(trak, &[b"tkhd"])?.body;
    let id_at = if tkhd.first()? == &1 { 20 } else { 12 };
    let mdhd = child(trak, &[b"mdia", b"mdhd"])?.body;
    let timescale_at = if mdhd.first()? == &1 { 20 } else { 12 };
    let handler = child(trak, &[b"mdia", b"hdlr"])?.body.get(8..12)?;
    let stbl: [&[u8; 4]; 3] = [b"mdia", b"minf", b"stbl"];
    for kind in [b"stts", b"stsc", b"stco"] {
        let table = child(trak, &[&stbl[..], &[kind]].concat());
        let is_empty = table.is_some_and(|table| u32_at(table.body, 4) == Some(0));
        faults.require(is_empty, Rule::InitSection, || {
            format!("{} is not empty", String::from_utf8_lossy(kind))
        });
    }
    let stsd = child(trak, &[&stbl[..], &[b"stsd"]].concat())?.body;
    let entry = &boxes(stsd.get(8..)?, 0)?[0];
    let is_video = handler == b"vide";
    let size = if is_video {
        (u16_at(entry.body, 24)?, u16_at(entry.body, 26)?)
    } else {
        (0, 0)
    };
    Some(Track {
        id: u32_at(tkhd, id_at)?,
        handler: String::from_utf8_lossy(handler).into_owned(),
        timescale: u32_at(mdhd, timescale_at)?,
        size,
        codec: if is_video {
            avc_codec(entry)
        } else {
            aac_codec(entry)
        },
    })
}

/// Returns `avc1.PPCCLL` (RFC 6381, 3.3): profile, constraints and level from the configuration
/// record.
fn avc_codec(entry: &Box<'_>) -> Option<String> {
    let avcc = child(&boxes(entry.body.get(78..)?, 0)?, &[b"avcC"])?.body;
    let [profile, constraints, level] = avcc.get(1..4)?.try_into().ok()?;
    (&entry.kind == b"avc1").then(|| format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}

/// Returns `mp4a.40.N` (RFC 6381, 3.3): the object type from the AudioSpecificConfig, which is in
/// the descriptor with tag 5.
fn aac_codec(entry: &Box<'_>) -> Option<String> {
    let mut rest = child(&boxes(entry.body.get(28..)?, 0)?, &[b"esds"])?
        .body
        .get(4..)?;
    loop {
        let (tag, after) = rest.split_first()?;
        let bytes = after
            .iter()
            .take(4)
            .take_while(|byte| **byte & 0x80 != 0)
            .count()
            + 1;
        let body = after.get(bytes..)?;
        rest = match tag {
            3 => body.get(3..)?,
            4 => body.get(13..)?,
            5 => {
                let object_type = match body.first()? >> 3 {
                    31 => 32 + ((body.first()? & 7) << 3) + (body.get(1)? >> 5),
                    plain => plain,
                };
                return Some(format!("mp4a.40.{object_type}"));
            }
            _ => return None,
        };
    }
}

/// Reads the fragments of a segment or part.
pub fn fragments(what: &str, bytes: &[u8], faults: &mut Faults) -> Vec<Fragment> {
    let read = read_fragments(what, bytes, faults);
    faults.require(read.is_some(), Rule::Fragment, || {
        format!("{what}: its boxes are not whole")
    });
    read.unwrap_or_default()
}

fn read_fragments(what: &str, bytes: &[u8], faults: &mut Faults) -> Option<Vec<Fragment>> {
    let top = boxes(bytes, 0)?;
    let mut found = Vec::new();
    let media: Vec<_> = top.iter().filter(|known| &known.kind != b"styp").collect();
    for pair in media.chunks(2) {
        let [moof, mdat] = pair else { return None };
        if (&moof.kind, &mdat.kind) != (b"moof", b"mdat") {
            return None;
        }
        found.push(read_fragment(what, moof, mdat, faults)?);
    }
    (!found.is_empty()).then_some(found)
}

fn read_fragment(
    what: &str,
    moof: &Box<'_>,
    mdat: &Box<'_>,
    faults: &mut Faults,
) -> Option<Fragment> {
    let inside = boxes(moof.body, moof.at)?;
    let sequence_number = u32_at(child(&inside, &[b"mfhd"])?.body, 4)?;
    let mut fragment = Fragment {
        sequence_number,
        tracks: Vec::new(),
    };
    let mut taken = mdat.at;
    for traf in inside.iter().filter(|known| &known.kind == b"traf") {
        let traf = boxes(traf.body, traf.at)?;
        let tfhd = child(&traf, &[b"tfhd"])?.body;
        let is_based = u32_at(tfhd, 0)? & DEFAULT_BASE_IS_MOOF != 0;
        faults.require(is_based, Rule::Fragment, || {
            format!("{what}: default-base-is-moof is not set")
        });
        let tfdt = child(&traf, &[b"tfdt"])?.body;
        let is_long = tfdt.first()? == &1;
        let time = if is_long {
            u64::from_be_bytes(tfdt.get(4..12)?.try_into().ok()?)
        } else {
            u32_at(tfdt, 4)?.into()
        };
        let samples = match child(&traf, &[b"trun"]) {
            Some(trun) => read_run(trun.body, moof.at - 8)?,
            None => Vec::new(),
        };
        for sample in &samples {
            faults.require(sample.bytes.start == taken, Rule::Fragment, || {
                format!("{what}: a sample at {:?}", sample.bytes)
            });
            taken = sample.bytes.end;
        }
        fragment.tracks.push((u32_at(tfhd, 4)?, time, samples));
    }
    let end = mdat.at + mdat.body.len();
    faults.require(taken == end, Rule::Fragment, || {
        format!("{what}: samples end at {taken}, mdat at {end}")
    });
    Some(fragment)
}

fn read_run(trun: &[u8], moof_at: usize) -> Option<Vec<Sample>> {
    let all_fields = u32_at(trun, 0)? & 0x00ff_ffff == TRUN_FIELDS;
    let mut from = moof_at + u32_at(trun, 8).filter(|_| all_fields)? as usize;
    let fields = trun
        .get(12..)?
        .chunks_exact(16)
        .take(u32_at(trun, 4)? as usize);
    let samples = fields.map(|field| {
        let length = u32_at(field, 4)? as usize;
        let bytes = from..from + length;
        from += length;
        Some(Sample {
            duration: u32_at(field, 0)?,
            sync: u32_at(field, 8)? & NON_SYNC == 0,
            offset: u32_at(field, 12)? as i32,
            bytes,
        })
    });
    samples.collect()
}
