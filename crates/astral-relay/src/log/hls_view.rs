//! The log as HLS: playlists, and the bytes behind their URLs.

use super::buffer::Buffer;
use super::gop::Gop;
use super::playlist::playlist;
use super::playlist_cache::RenderedPlaylist;
use super::shared_log::Log;
use astral_media::fmp4::init_section;
use astral_media::hls::media_playlist;
use astral_proto::EpochId;
use bytes::Bytes;
use std::sync::Arc;

/// What is behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// These bytes.
    Here(Vec<Bytes>),
    /// Nothing yet, but it comes next.
    Ahead,
    /// Nothing: it has left the log, never existed, or is not whole.
    Missing,
}

/// The log of one stream, as HLS sees it.
pub struct HlsView<'a> {
    log: &'a Log,
}

impl<'a> HlsView<'a> {
    /// The view of `log`.
    pub fn new(log: &'a Log) -> Self {
        Self { log }
    }

    /// The media playlist; None before the target duration is fixed and a GOP can be listed.
    pub fn rendered_playlist(&self) -> Option<Arc<RenderedPlaylist>> {
        let render = || {
            let (version, playlist) = {
                let held = self.log.read_lock();
                (held.version, playlist(&held))
            };
            let text = playlist.map(|playlist| Bytes::from(media_playlist(&playlist)));
            (version, text)
        };
        self.log
            .playlists
            .get(|| self.log.read_lock().version, render)
    }

    /// Whether every GOP can be decoded without another one. False until a GOP is complete, because
    /// it is not known before.
    pub fn is_independent(&self) -> bool {
        let held = self.log.read_lock();
        let has_ended = held.gops.iter().any(|gop| gop.end.is_some());
        has_ended && held.gops.iter().all(|gop| gop.start.independent)
    }

    /// The largest bitrate of a complete segment, bits per second; 0 before there is one
    /// (rfc8216bis, 1.2).
    pub fn peak_bits_per_second(&self) -> u64 {
        let held = self.log.read_lock();
        let whole = held.gops.iter().filter(|gop| gop.end.is_some());
        let rates = whole.filter_map(|gop| {
            let bits: usize = gop.parts.iter().map(|part| part.bytes.length * 8).sum();
            (bits as u64 * 1_000_000).checked_div(gop.duration_us())
        });
        rates.max().unwrap_or(0)
    }

    /// The number of the fragment after the newest one, if the log ends right before GOP
    /// `first_gop`.
    pub fn fragment_after(&self, first_gop: u64) -> Option<u32> {
        let held = self.log.read_lock();
        let newest = held
            .gops
            .newest()
            .filter(|gop| gop.start.gop + 1 == first_gop && gop.is_whole())?;
        Some(
            newest
                .start
                .first_fragment
                .wrapping_add(newest.parts.len() as u32),
        )
    }

    /// The initialisation section `init` of `epoch`.
    pub fn init_section(&self, epoch: EpochId, init: u32) -> Lookup {
        let held = self.log.read_lock();
        let held = held.gops.iter().map(|gop| &gop.start.parameters);
        let mut matching =
            held.filter(|parameters| (parameters.epoch_id(), parameters.init) == (epoch, init));
        let section = matching
            .next()
            .and_then(|parameters| init_section(parameters).ok());
        section.map_or(Lookup::Missing, |section| Lookup::Here(vec![section]))
    }

    /// The segment of a GOP.
    pub fn segment(&self, epoch: EpochId, gop: u64) -> Lookup {
        lookup(&self.log.read_lock(), epoch, gop, |held| {
            let all = || {
                held.parts
                    .iter()
                    .flat_map(|part| part.bytes.pieces.iter().cloned())
            };
            held.is_whole().then(|| all().collect())
        })
    }

    /// A part of a GOP.
    pub fn part(&self, epoch: EpochId, gop: u64, part: u32) -> Lookup {
        lookup(&self.log.read_lock(), epoch, gop, |held| {
            held.parts
                .get(part as usize)
                .map(|part| part.bytes.pieces.clone())
        })
    }

    /// Whether the playlist shows part `part` of GOP `gop`, or all of the GOP if `part` is None.
    pub fn shows(&self, gop: u64, part: Option<u32>) -> bool {
        let held = self.log.read_lock();
        let Some(newest) = held.gops.newest() else {
            return false;
        };
        let number = newest.start.gop;
        let in_newest =
            newest.end.is_some() || part.is_some_and(|part| newest.parts.len() > part as usize);
        held.ended || number > gop || (number == gop && in_newest)
    }

    /// Whether GOP `gop` is further ahead than a player may ask for (rfc8216bis, 6.2.5.2).
    pub fn is_far_ahead(&self, gop: u64) -> bool {
        self.log
            .read_lock()
            .gops
            .newest()
            .is_some_and(|newest| gop > newest.start.gop + 2)
    }
}

/// What is behind the URL of GOP `number` of `epoch`. `bytes` returns what of the GOP is asked for.
fn lookup(
    buffer: &Buffer,
    epoch: EpochId,
    number: u64,
    bytes: impl Fn(&Gop) -> Option<Vec<Bytes>>,
) -> Lookup {
    let Some(newest) = buffer.gops.newest() else {
        return Lookup::Missing;
    };
    let of_newest = newest.start.parameters.epoch_id();
    let may_come = epoch.incarnation == of_newest.incarnation && epoch.epoch >= of_newest.epoch;
    if number == newest.start.gop + 1 && may_come && !buffer.ended {
        return Lookup::Ahead;
    }
    let held = buffer.gops.find(number);
    let Some(gop) = held.filter(|gop| gop.start.parameters.epoch_id() == epoch) else {
        return Lookup::Missing;
    };
    let is_open = gop.end.is_none() && gop.start.gop == newest.start.gop && !buffer.ended;
    match bytes(gop) {
        Some(bytes) => Lookup::Here(bytes),
        None if is_open => Lookup::Ahead,
        None => Lookup::Missing,
    }
}
