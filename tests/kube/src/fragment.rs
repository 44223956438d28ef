//! The frame log: whether the samples of one fMP4 piece go on where those of the piece before ended.

use anyhow::{Context, ensure};
use mp4_atom::{Decode, Moof, Traf};
use std::collections::HashMap;

/// Size and kind of a box.
const BOX_HEAD_BYTES: usize = 8;
/// One track's clock is put on a grid, so it may be off by this without a frame being lost, microseconds.
const ROUNDING_MICROS: i64 = 10;

/// What was seen so far.
#[derive(Default)]
pub struct FrameLog {
    epoch: u64,
    /// Where each track's next sample must begin, microseconds.
    expected: HashMap<u32, i64>,
    /// Samples seen.
    pub frames: u64,
    /// How often a sample was missing within an epoch.
    pub lost: u64,
    /// How often decoding time did not rise.
    pub disorder: u64,
    /// How many epochs were seen: one more with each return of the publisher.
    pub epochs: u64,
    /// A GOP that the playlist names as a gap: one that the end of an epoch cut off, unless its epoch goes on.
    gap: Option<String>,
    /// The first complaints, for people.
    pub complaints: Vec<String>,
}

impl FrameLog {
    /// Takes a part or a segment of `epoch`.
    ///
    /// # Errors
    /// If it is no fMP4.
    pub fn take(&mut self, epoch: u64, uri: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let is_new_epoch = epoch != self.epoch;
        if is_new_epoch {
            self.epoch = epoch;
            self.epochs += 1;
            self.gap = None;
        }
        if let Some(gap) = self.gap.take() {
            self.lost += 1;
            self.complain(gap);
        }
        let mut first = is_new_epoch;
        for moof in moofs(bytes)? {
            for traf in &moof.traf {
                self.take_track(uri, traf, first)?;
            }
            first = false;
        }
        Ok(())
    }

    fn take_track(&mut self, uri: &str, traf: &Traf, resumes: bool) -> anyhow::Result<()> {
        let track = traf.tfhd.track_id;
        let start = traf
            .tfdt
            .as_ref()
            .context("no decode time")?
            .base_media_decode_time as i64;
        let mut end = start;
        for entry in traf.trun.iter().flat_map(|trun| &trun.samples) {
            end += i64::from(entry.duration.context("a sample without duration")?);
            self.frames += 1;
        }
        let before = self.expected.insert(track, end);
        let Some(before) = before else { return Ok(()) };
        let off = start - before;
        if off < -ROUNDING_MICROS {
            self.disorder += 1;
            self.complain(format!("{uri}: track {track} goes back by {} us", -off));
        } else if off > ROUNDING_MICROS && !resumes {
            self.lost += 1;
            self.complain(format!("{uri}: track {track} leaves {off} us out"));
        }
        Ok(())
    }

    /// Takes a GOP that the playlist names as a gap.
    pub fn take_gap(&mut self, uri: &str) {
        self.gap = Some(format!("{uri} is a gap"));
    }

    /// Says what went wrong, and keeps the first of it.
    pub fn complain(&mut self, what: String) {
        println!("{what}");
        if self.complaints.len() < 20 {
            self.complaints.push(what);
        }
    }
}

fn moofs(bytes: &[u8]) -> anyhow::Result<Vec<Moof>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        ensure!(rest.len() >= BOX_HEAD_BYTES, "half a box at the end");
        let size = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        ensure!(
            (BOX_HEAD_BYTES..=rest.len()).contains(&size),
            "a box of {size} bytes, {} are left",
            rest.len()
        );
        if &rest[4..BOX_HEAD_BYTES] == b"moof" {
            found.push(Moof::decode(&mut &rest[..size])?);
        }
        rest = &rest[size..];
    }
    ensure!(!found.is_empty(), "no moof");
    Ok(found)
}
