//! A player that checks everything it receives.

use super::{Coded, Faults, Init, MediaPlaylist, Part, Rule, Segment};
use super::{
    check, check_init, check_multivariant, check_reload, check_segment, check_timeline, fragments,
    init, parse,
};
use crate::http;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Most reloads of a playlist in one watch.
const RELOADS_MAX: usize = 1_000;
/// Further ahead than a request may ask (rfc8216bis, 6.2.5.2).
const FAR_AHEAD: u64 = 100;

/// What was received, and the faults in it.
#[derive(Debug, Default)]
pub struct Seen {
    /// All segments in order.
    pub segments: Vec<Coded>,
    /// The initialization sections by their URIs.
    pub sections: BTreeMap<String, Vec<u8>>,
    /// The last playlist.
    pub playlist: MediaPlaylist,
    /// The faults.
    pub faults: Faults,
}

/// Plays `slug` at `media` by blocking reloads until it has received `wanted` complete segments or
/// the stream ends. It checks playlists, sections, segments and parts.
pub async fn watch(media: SocketAddr, slug: &str, wanted: usize) -> Seen {
    watch_while(media, slug, |seen| seen < wanted).await
}

/// Plays while `goes_on` returns true for the number of complete segments received so far.
pub async fn watch_while(media: SocketAddr, slug: &str, goes_on: impl Fn(usize) -> bool) -> Seen {
    let mut watch = Watch::new(media, slug);
    let first = crate::eventually("there is a playlist", || async {
        let answer = http::get(media, &format!("/live/{slug}/media.m3u8")).await?;
        (answer.status == 200).then(|| answer.text())
    })
    .await;
    watch.take(&first).await;
    watch.asks_too_far_ahead().await;
    for _ in 0..RELOADS_MAX {
        let is_stale = watch.seen.faults.has(Rule::Blocking);
        if is_stale || !goes_on(watch.seen.segments.len()) || watch.seen.playlist.ended {
            break;
        }
        watch.reload(&goes_on).await;
    }
    watch.finish().await
}

struct Watch {
    media: SocketAddr,
    base: String,
    seen: Seen,
    inits: BTreeMap<String, Init>,
    /// The number of the next segment to fetch.
    next: Option<u64>,
    /// The listed segments. It is checked whether they are still there when they leave the
    /// playlist.
    listed: BTreeMap<u64, String>,
    /// Whether a gap has been skipped.
    after_gap: bool,
}

impl Seen {
    /// Returns the number of pictures in its segments.
    pub fn pictures(&self) -> usize {
        let sections = self.sections.iter().map(|(uri, bytes)| {
            let read = init(bytes, &mut Faults::default());
            (uri.as_str(), read.video().map(|video| video.id))
        });
        let video: BTreeMap<_, _> = sections.collect();
        let in_segment = |segment: &Coded| {
            let id = video.get(segment.map.as_str()).copied().flatten();
            let tracks = segment.fragments.iter().flat_map(|part| &part.tracks);
            let of_video = tracks.filter(|(track, ..)| Some(*track) == id);
            of_video.map(|(.., samples)| samples.len()).sum::<usize>()
        };
        self.segments.iter().map(in_segment).sum()
    }
}

impl Watch {
    fn new(media: SocketAddr, slug: &str) -> Self {
        Self {
            media,
            base: format!("/live/{slug}"),
            seen: Seen::default(),
            inits: BTreeMap::new(),
            next: None,
            listed: BTreeMap::new(),
            after_gap: false,
        }
    }

    async fn get(&self, asset: &str) -> (u16, Vec<u8>) {
        let answer = http::get(self.media, &format!("{}/{asset}", self.base)).await;
        answer.map_or((0, Vec::new()), |answer| (answer.status, answer.body))
    }

    /// Requests the next part. It may not come if the stream does not go on.
    async fn reload(&mut self, goes_on: impl Fn(usize) -> bool) {
        let before = &self.seen.playlist;
        let open = before
            .segments
            .last()
            .filter(|segment| segment.uri.is_none());
        let count = before.segments.len() as u64;
        let (sequence, part) = match open {
            Some(open) => (before.media_sequence + count - 1, open.parts.len()),
            None => (before.media_sequence + count, 0),
        };
        let (status, body) = self
            .get(&format!("media.m3u8?_HLS_msn={sequence}&_HLS_part={part}"))
            .await;
        let is_answered = status == 200;
        self.seen.faults.require(is_answered, Rule::Blocking, || {
            format!("{status} to a blocking reload")
        });
        if !is_answered {
            return;
        }
        self.take(&String::from_utf8_lossy(&body)).await;
        let now = &self.seen.playlist;
        let asked = sequence
            .checked_sub(now.media_sequence)
            .and_then(|at| now.segments.get(at as usize));
        let is_there = now.ended
            || !goes_on(self.seen.segments.len())
            || now.media_sequence > sequence
            || asked.is_some_and(|segment| segment.uri.is_some() || segment.parts.len() > part);
        let what = || format!("part {part} of {sequence} was asked for and is not in the answer");
        self.seen.faults.require(is_there, Rule::Blocking, what);
    }

    async fn asks_too_far_ahead(&mut self) {
        let playlist = &self.seen.playlist;
        let sequence = playlist.media_sequence + playlist.segments.len() as u64 + FAR_AHEAD;
        let (status, _) = self.get(&format!("media.m3u8?_HLS_msn={sequence}")).await;
        self.seen.faults.require(status == 400, Rule::Blocking, || {
            format!("{status} to a request far ahead")
        });
    }

    /// Checks a playlist that has just been loaded.
    async fn take(&mut self, text: &str) {
        let playlist = parse(text, &mut self.seen.faults);
        check(&playlist, &mut self.seen.faults);
        self.seen
            .faults
            .require(playlist.can_block_reload, Rule::Blocking, || {
                "CAN-BLOCK-RELOAD is not said".into()
            });
        if !self.seen.playlist.segments.is_empty() {
            check_reload(&self.seen.playlist, &playlist, &mut self.seen.faults);
        }
        for (sequence, segment) in playlist.whole() {
            if self.next.is_none_or(|next| sequence >= next) {
                self.next = Some(sequence + 1);
                self.fetch(sequence, segment, playlist.independent_segments)
                    .await;
            }
        }
        self.asks_for_what_has_left(playlist.media_sequence).await;
        self.seen.playlist = playlist;
    }

    /// Checks that segments which leave the playlist are still there.
    async fn asks_for_what_has_left(&mut self, media_sequence: u64) {
        let listed = self.listed.split_off(&media_sequence);
        for (sequence, uri) in std::mem::replace(&mut self.listed, listed) {
            let (status, _) = self.get(&uri).await;
            let what = || {
                format!("{status} for {uri}, number {sequence}, which has just left the playlist")
            };
            self.seen
                .faults
                .require(status == 200, Rule::Available, what);
        }
    }

    async fn fetch(&mut self, sequence: u64, segment: &Segment, independent: bool) {
        let Some(uri) = segment.uri.clone().filter(|_| !segment.gap) else {
            self.after_gap = true;
            return;
        };
        let (status, bytes) = self.get(&uri).await;
        self.seen
            .faults
            .require(status == 200, Rule::Available, || {
                format!("{status} for {uri}, which is listed")
            });
        if status != 200 {
            return;
        }
        let init = self.init_of(segment).await;
        let parts = self.parts_of(segment).await;
        let coded = Coded {
            fragments: fragments(&uri, &bytes, &mut self.seen.faults),
            uri: uri.clone(),
            duration: segment.duration,
            discontinuity: segment.discontinuity || std::mem::take(&mut self.after_gap),
            map: segment.map.clone().unwrap_or_default(),
            bytes,
            parts: segment.parts.iter().map(|part| part.duration).collect(),
        };
        check_segment(
            segment,
            &coded,
            &parts,
            independent,
            &init,
            &mut self.seen.faults,
        );
        self.listed.insert(sequence, uri);
        self.seen.segments.push(coded);
    }

    async fn init_of(&mut self, segment: &Segment) -> Init {
        let Some(uri) = &segment.map else {
            return Init::default();
        };
        if let Some(known) = self.inits.get(uri) {
            return known.clone();
        }
        let (status, bytes) = self.get(uri).await;
        self.seen
            .faults
            .require(status == 200, Rule::Map, || format!("{status} for {uri}"));
        let read = init(&bytes, &mut self.seen.faults);
        check_init(uri, &read, &mut self.seen.faults);
        self.inits.insert(uri.clone(), read.clone());
        self.seen.sections.insert(uri.clone(), bytes);
        read
    }

    async fn parts_of(&mut self, segment: &Segment) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        for Part { uri, .. } in &segment.parts {
            let (status, bytes) = self.get(uri).await;
            self.seen
                .faults
                .require(status == 200, Rule::Available, || {
                    format!("{status} for {uri}, which is listed")
                });
            parts.push(bytes);
        }
        parts
    }

    async fn finish(mut self) -> Seen {
        let last = self
            .seen
            .playlist
            .segments
            .iter()
            .rev()
            .find_map(|segment| segment.map.clone());
        if let Some(init) = last.and_then(|uri| self.inits.get(&uri)) {
            check_timeline(&self.seen.segments, init, &mut self.seen.faults);
            let (status, body) = self.get("index.m3u8").await;
            self.seen.faults.require(status == 200, Rule::Codecs, || {
                format!("{status} for index.m3u8")
            });
            let target = self.seen.playlist.target_duration;
            let text = String::from_utf8_lossy(&body);
            check_multivariant(
                &text,
                init,
                &self.seen.segments,
                target,
                &mut self.seen.faults,
            );
        }
        self.seen
    }
}
