//! HLS: playlists, which change, and initialisation sections, segments and parts, which never do.

use crate::core::{Relay, Stream};
use crate::feed::{STREAM_WAIT, wait_until_flowing};
use crate::http::{self, Request, Response};
use crate::log::{HlsView, Lookup, RenderedPlaylist};
use astral_media::codec::frame_rate;
use astral_media::hls::{Variant, multivariant_playlist};
use astral_proto::limits::UNKNOWN_KBPS;
use astral_proto::{Code, EpochId, Problem, Slug};
use bytes::Bytes;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Content-Type of playlists.
const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";
/// Content-Type of everything else.
const MP4_TYPE: &str = "video/mp4";
/// The parameter of clients that only want a picture of the stream now and then, and are not
/// viewers.
const THUMBNAIL: &str = "thumbnail";
/// After this long, a blocking request is answered with what there is.
const BLOCKING_WAIT: Duration = Duration::from_secs(6);
/// Peak bitrate that is announced for a mean of 100.
const PEAK_PERCENT: u64 = 130;

/// What a URL of HLS stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// `index.m3u8`.
    Multivariant,
    /// `media.m3u8`.
    Media,
    /// `INCARNATION-EPOCH/init-INIT.mp4`.
    Init { epoch: EpochId, init: u32 },
    /// `INCARNATION-EPOCH/GOP.m4s`.
    Segment { epoch: EpochId, gop: u64 },
    /// `INCARNATION-EPOCH/GOP.PART.m4s`.
    Part { epoch: EpochId, gop: u64, part: u32 },
}

impl Asset {
    /// Parses what follows `/live/SLUG/`.
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "index.m3u8" => return Some(Asset::Multivariant),
            "media.m3u8" => return Some(Asset::Media),
            _ => {}
        }
        let (epoch, file) = path.split_once('/')?;
        let epoch = epoch.parse().ok()?;
        if let Some(init) = file.strip_prefix("init-") {
            return Some(Asset::Init {
                epoch,
                init: decimal(init.strip_suffix(".mp4")?)?,
            });
        }
        let numbers = file.strip_suffix(".m4s")?;
        Some(match numbers.split_once('.') {
            None => Asset::Segment {
                epoch,
                gop: decimal(numbers)?,
            },
            Some((gop, part)) => Asset::Part {
                epoch,
                gop: decimal(gop)?,
                part: decimal(part)?,
            },
        })
    }
}

/// A number in the only spelling that playlists use, so that caches hold nothing twice.
fn decimal<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>()
        .ok()
        .filter(|number| number.to_string() == text)
}

impl Asset {
    /// Whether it is one of the two playlists, which players request again and again.
    pub fn is_playlist(self) -> bool {
        matches!(self, Asset::Multivariant | Asset::Media)
    }

    /// The pattern of its path, for metrics and traces.
    pub fn route(self) -> &'static str {
        match self {
            Asset::Multivariant => "/live/{slug}/index.m3u8",
            Asset::Media => "/live/{slug}/media.m3u8",
            Asset::Init { .. } => "/live/{slug}/{epoch}/init-{n}.mp4",
            Asset::Segment { .. } => "/live/{slug}/{epoch}/{gop}.m4s",
            Asset::Part { .. } => "/live/{slug}/{epoch}/{gop}.{part}.m4s",
        }
    }
}

/// Answers a request for `asset`.
///
/// # Errors
/// `not_found` for what does not exist and will not; `unavailable` for what did not come in time;
/// `full`.
pub async fn answer(
    relay: &Relay,
    request: &Request,
    peer: SocketAddr,
    slug: &Slug,
    asset: Asset,
) -> Result<Response, Problem> {
    let stream = stream_for_player(relay, slug).await?;
    let view = HlsView::new(&stream.log);
    if asset.is_playlist() && request.parameter(THUMBNAIL).is_none() {
        admit_player(relay, &stream, player(request, peer))?;
    }
    match asset {
        Asset::Multivariant => {
            let text = Bytes::from(multivariant(&stream)?);
            Ok(playlist_response(&text).packed(request, || http::gzip(&text)))
        }
        Asset::Media => {
            let playlist = media(&stream, request).await?;
            Ok(playlist_response(&playlist.text).packed(request, || playlist.gzip().clone()))
        }
        Asset::Init { epoch, init } => wait_for(&stream, || view.init_section(epoch, init)).await,
        Asset::Segment { epoch, gop } => wait_for(&stream, || view.segment(epoch, gop)).await,
        Asset::Part { epoch, gop, part } => wait_for(&stream, || view.part(epoch, gop, part)).await,
    }
}

/// The stream for a player. A relay that leaves takes no new streams, but its players see on what
/// it carries.
///
/// # Errors
/// As [`wait_until_flowing`].
async fn stream_for_player(relay: &Relay, slug: &Slug) -> Result<Arc<Stream>, Problem> {
    let is_leaving = relay.departure().has_begun();
    match relay
        .find(slug)
        .filter(|stream| is_leaving && stream.is_carried())
    {
        Some(stream) => Ok(stream),
        None => wait_until_flowing(relay, slug).await,
    }
}

/// Notes that a player was sent `bytes` of `asset`.
pub fn note_sent(
    relay: &Relay,
    request: &Request,
    peer: SocketAddr,
    (slug, asset): (&Slug, Asset),
    bytes: u64,
) {
    if let Some(stream) = relay.find(slug) {
        stream
            .readers
            .sent_over_hls(player(request, peer), bytes, !asset.is_playlist());
    }
}

/// Counts a player.
///
/// # Errors
/// `full` for a new player without room.
fn admit_player(relay: &Relay, stream: &Stream, player: u64) -> Result<(), Problem> {
    if !stream.readers.has_hls_player(player) {
        relay.check_room_for_viewer(stream)?;
    }
    stream.touch();
    stream.readers.see_hls_player(player);
    Ok(())
}

fn playlist_response(text: &Bytes) -> Response {
    Response::ok(PLAYLIST_TYPE, http::NO_CACHE, vec![text.clone()])
}

/// Identifies a player, as far as its requests show it.
fn player(request: &Request, peer: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (peer.ip(), &request.user_agent).hash(&mut hasher);
    hasher.finish()
}

fn multivariant(stream: &Stream) -> Result<String, Problem> {
    let view = HlsView::new(&stream.log);
    let start = stream
        .log
        .newest_start()
        .ok_or_else(|| nothing_yet(stream))?;
    let mean = u64::from(mean_kbps(stream)) * 1000;
    Ok(multivariant_playlist(&Variant {
        parameters: &start.parameters,
        bandwidth: (mean * PEAK_PERCENT / 100).max(view.peak_bits_per_second()),
        average_bandwidth: Some(mean),
        frame_rate: start.parameters.video.as_ref().and_then(frame_rate),
        independent_segments: view.is_independent(),
    }))
}

/// The bitrate, or an assumption while it is not known.
fn mean_kbps(stream: &Stream) -> u32 {
    match stream.log.kbps() {
        0 => UNKNOWN_KBPS.get(),
        kbps => kbps,
    }
}

async fn media(stream: &Stream, request: &Request) -> Result<Arc<RenderedPlaylist>, Problem> {
    let sequence = number(request, "_HLS_msn")?;
    let part = number(request, "_HLS_part")?;
    match sequence {
        Some(gop) => block_until_shown(stream, gop, part).await?,
        None if part.is_some() => {
            return Err(Problem::new(
                Code::BadRequest,
                "_HLS_part is of no use without _HLS_msn",
            ));
        }
        None => {}
    }
    let view = HlsView::new(&stream.log);
    let mut news = stream.log.watch_parts();
    let listed = async {
        loop {
            if let Some(playlist) = view.rendered_playlist() {
                return playlist;
            }
            drop(news.changed().await);
        }
    };
    timeout(STREAM_WAIT, listed)
        .await
        .map_err(|_| nothing_yet(stream))
}

fn number<T: FromStr>(request: &Request, name: &str) -> Result<Option<T>, Problem> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| Problem::new(Code::BadRequest, format!("{name}={text} is not a number")))
    };
    request.parameter(name).map(parse).transpose()
}

async fn block_until_shown(stream: &Stream, gop: u64, part: Option<u32>) -> Result<(), Problem> {
    let view = HlsView::new(&stream.log);
    if view.is_far_ahead(gop) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("_HLS_msn={gop} is too far ahead"),
        ));
    }
    let mut news = stream.log.watch_parts();
    let shown = async {
        while !view.shows(gop, part) {
            drop(news.changed().await);
        }
    };
    drop(timeout(BLOCKING_WAIT, shown).await);
    Ok(())
}

/// What `lookup` finds. Waits for it if it comes next.
async fn wait_for(stream: &Stream, lookup: impl Fn() -> Lookup) -> Result<Response, Problem> {
    stream.touch();
    let mut news = stream.log.watch_parts();
    let found = async {
        loop {
            match lookup() {
                Lookup::Here(bytes) => return Some(bytes),
                Lookup::Missing => return None,
                Lookup::Ahead => drop(news.changed().await),
            }
        }
    };
    let bytes: Option<Vec<Bytes>> = timeout(BLOCKING_WAIT, found)
        .await
        .map_err(|_| nothing_yet(stream))?;
    let missing = || {
        Problem::new(
            Code::NotFound,
            format!("stream {} holds no such segment", stream.slug),
        )
    };
    Ok(Response::ok(
        MP4_TYPE,
        http::IMMUTABLE,
        bytes.ok_or_else(missing)?,
    ))
}

fn nothing_yet(stream: &Stream) -> Problem {
    Problem::new(
        Code::Unavailable,
        format!("stream {} has not got that far yet", stream.slug),
    )
}
