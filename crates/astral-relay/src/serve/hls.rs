//! HLS: playlists that change, and sections, segments and parts that never do.

use crate::core::Stream;
use crate::core::{Relay, STREAM_WAIT};
use crate::http::{self, Request, Response};
use crate::log::{Lookup, Rendered};
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
/// Said by whoever wants a picture of the stream now and then, and is no viewer.
const THUMBNAIL: &str = "thumbnail";
/// A blocking request is answered with what there is after this long.
const BLOCKING_WAIT: Duration = Duration::from_secs(6);
/// Peak bitrate told for a mean of 100.
const PEAK_PERCENT: u64 = 130;

/// What of a stream's HLS is asked for.
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
    /// Reads what stands behind `/live/SLUG/`.
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

/// A number in the one spelling that playlists use, so that caches hold nothing twice.
fn decimal<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>()
        .ok()
        .filter(|number| number.to_string() == text)
}

impl Asset {
    /// Whether it is one of the two playlists, which players ask for again and again.
    pub fn is_playlist(self) -> bool {
        matches!(self, Asset::Multivariant | Asset::Media)
    }

    /// Its path without what varies in it.
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
/// `not_found` for what is not there and will not be; `unavailable` for what did not come in time; `full`.
pub async fn answer(
    relay: &Relay,
    request: &Request,
    peer: SocketAddr,
    slug: &Slug,
    asset: Asset,
) -> Result<Response, Problem> {
    let stream = relay.for_player(slug).await?;
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
        Asset::Init { epoch, init } => {
            wait_for(&stream, || stream.log.init_section(epoch, init)).await
        }
        Asset::Segment { epoch, gop } => wait_for(&stream, || stream.log.segment(epoch, gop)).await,
        Asset::Part { epoch, gop, part } => {
            wait_for(&stream, || stream.log.part(epoch, gop, part)).await
        }
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
        stream.sent_over_hls(player(request, peer), bytes, !asset.is_playlist());
    }
}

/// Counts a player; a new one only if there is room for it.
fn admit_player(relay: &Relay, stream: &Stream, player: u64) -> Result<(), Problem> {
    if !stream.has_hls_player(player) && !relay.has_room_for_viewer(stream) {
        return Err(Problem::new(
            Code::Full,
            "this relay has no room for another viewer",
        ));
    }
    stream.see_hls_player(player);
    Ok(())
}

fn playlist_response(text: &Bytes) -> Response {
    Response::ok(PLAYLIST_TYPE, http::NO_CACHE, vec![text.clone()])
}

/// Tells one player from another, as far as a request shows it.
fn player(request: &Request, peer: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (peer.ip(), &request.user_agent).hash(&mut hasher);
    hasher.finish()
}

fn multivariant(stream: &Stream) -> Result<String, Problem> {
    let start = stream
        .log
        .newest_start()
        .ok_or_else(|| nothing_yet(stream))?;
    let mean = u64::from(mean_kbps(stream)) * 1000;
    Ok(multivariant_playlist(&Variant {
        parameters: &start.parameters,
        bandwidth: (mean * PEAK_PERCENT / 100).max(stream.log.peak_bits_per_second()),
        average_bandwidth: Some(mean),
        frame_rate: start.parameters.video.as_ref().and_then(frame_rate),
        independent_segments: stream.log.is_independent(),
    }))
}

/// The bitrate, or what is assumed while it is not known.
fn mean_kbps(stream: &Stream) -> u32 {
    match stream.log.kbps() {
        0 => UNKNOWN_KBPS,
        kbps => kbps,
    }
}

async fn media(stream: &Stream, request: &Request) -> Result<Arc<Rendered>, Problem> {
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
    let mut news = stream.log.watch_parts();
    let listed = async {
        loop {
            if let Some(playlist) = stream.log.media_playlist() {
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
    if stream.log.is_far_ahead(gop) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("_HLS_msn={gop} is too far ahead"),
        ));
    }
    let mut news = stream.log.watch_parts();
    let shown = async {
        while !stream.log.shows(gop, part) {
            drop(news.changed().await);
        }
    };
    drop(timeout(BLOCKING_WAIT, shown).await);
    Ok(())
}

/// What is looked up, waited for if it is what comes next.
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
