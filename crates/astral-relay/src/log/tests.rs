//! What the tests of the log share.

mod bitrate;
mod playlists;
mod reading;
mod segments;
mod waking;

use super::buffer::LogError;
use super::gop::Gop;
use super::playlist::playlist;
use super::*;
use crate::testing::{self, epoch};
use astral_media::frame::{Frame, Parameters};
use astral_media::frame::{GopEnd, GopStart, Media};
use astral_proto::FrameId;
use astral_proto::{EpochId, Incarnation};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

const FRAMES: u32 = 5;
const GOP_MICROS: u64 = 2_000_000;

fn start(gop: u64) -> Media {
    Media::Start(testing::gop_start(gop))
}

fn frame(gop: u64, number: u32) -> Media {
    Media::Frame(testing::frame(gop, number))
}

fn end(gop: u64) -> Media {
    Media::End(testing::gop_end(gop))
}

fn gop(number: u64) -> impl Iterator<Item = Media> {
    [start(number)]
        .into_iter()
        .chain((0..FRAMES).map(move |n| frame(number, n)))
        .chain([end(number)])
}

fn holding(gops: std::ops::Range<u64>) -> Log {
    let log = Log::new(64 << 20);
    log.append(gops.flat_map(gop)).unwrap();
    log
}

/// Everything a reader from `first` gets, as text: `S` starts a GOP, `E` ends it.
fn read_all(log: &Log, cursor: &mut Cursor) -> String {
    let mut items = Vec::new();
    loop {
        let before = items.len();
        log.read(cursor, &mut items);
        if items.len() == before {
            break;
        }
    }
    let names = items.iter().map(|item| match item {
        Item::Start(start) => format!("S{}", start.gop),
        Item::Frame(wired) => wired.frame.id.to_string(),
        Item::End(end) => format!("E{}", end.gop),
    });
    names.collect::<Vec<_>>().join(" ")
}

/// A publisher whose clock stands still: each frame a microsecond after the last, a byte long.
fn mote(gop: u64, number: u32) -> Media {
    let dts = gop * 100 + u64::from(number);
    let payload = Bytes::from_static(b"x");
    Media::Frame(Arc::new(Frame {
        dts,
        payload,
        ..(*testing::frame(gop, number)).clone()
    }))
}
