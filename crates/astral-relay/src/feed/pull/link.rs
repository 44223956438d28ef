//! One relay link from its subscriber's side: open it, read it, and see when it fails.

use super::arrived::Arrived;
use super::handover::Made;
use crate::config::Connect;
use crate::core::Relay;
use crate::core::{Stream, Supply};
use crate::failover_cause::FailoverCause;
use crate::http::HttpError;
use crate::observe::{self, Episode, Opening};
use astral_media::frame::Media;
use astral_media::record::{Record, VERSIONS_FIELD, Versions};
use astral_proto::limits::{HOPS_MAX, LINK_SILENCE, UPSTREAM_LOST};
use astral_proto::message::Offer;
use astral_proto::{FrameId, NodeId};
use astral_runtime::LogThrottle;
use bytes::{Buf, BytesMut};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::either::Either;

/// Longest response head of a provider, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// What each try to pull a stream from a provider that is broken would log.
static NONSENSE: LogThrottle = LogThrottle::new();
static LEFT_OUT: LogThrottle = LogThrottle::new();
/// What is read from a link at once, in bytes.
pub(super) const READ_BYTES: usize = 64 << 10;

/// How a link ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Parted {
    /// The stream has ended.
    Ended,
    /// The provider failed.
    Failed(FailoverCause),
    /// The provider would not serve.
    Refused(FailoverCause),
    /// The frame that is due has left the provider's log.
    Gone,
}

impl Parted {
    /// Why the provider is to be left, if it is.
    pub(super) fn failure(&self) -> Option<FailoverCause> {
        match self {
            Parted::Ended => None,
            Parted::Failed(cause) | Parted::Refused(cause) => Some(*cause),
            Parted::Gone => Some(FailoverCause::Gone),
        }
    }
}

/// A failure that no frame has followed yet.
#[derive(Clone, Copy, Debug)]
pub struct Failing {
    /// When the last frame came.
    pub since: Instant,
    /// Why the provider was left.
    pub cause: FailoverCause,
    /// The provider that was left.
    pub left: NodeId,
}

/// A link to follow.
pub struct Follow<'a> {
    pub relay: &'a Relay,
    pub stream: &'a Arc<Stream>,
    pub offer: &'a Offer,
    /// The first frame wanted; none for the oldest there is.
    pub from: Option<FrameId>,
    /// Told when the provider has agreed.
    pub opened: &'a Notify,
    /// What ended the flow of frames, until the next one comes.
    pub failing: Option<Failing>,
    /// What the link is opened in the course of.
    pub episode: &'a Episode,
}

struct Reading<'a> {
    opening: &'a mut Opening,
    lost_since: Option<Instant>,
    /// The newest frame the provider had when the link opened.
    backlog_until: Option<Option<FrameId>>,
    media: Vec<Media>,
    failing: Option<Failing>,
}

/// What a link runs over.
pub type Wire = Either<TcpStream, DuplexStream>;

impl Follow<'_> {
    /// Follows the link until it ends or fails: the one that was made already, or one that it opens.
    pub async fn run(&self, made: Option<Made>) -> Parted {
        let guarded = self.relay.gate().guard(self.follow_made(made)).await;
        guarded.unwrap_or(Parted::Failed(FailoverCause::Drill))
    }

    async fn follow_made(&self, made: Option<Made>) -> Parted {
        let (mut opening, parted);
        if let Some(mut made) = made {
            self.is_open();
            parted = self
                .read(&mut made.wire, &mut made.arrived, &mut made.opening)
                .await;
            opening = made.opening;
        } else {
            opening = Opening::begun(self.episode, self.offer.provider, &self.offer.advertise);
            parted = match self.connect().await {
                Ok(wire) => self.follow(wire, &mut opening).await,
                Err(parted) => parted,
            };
        }
        opening.broke_off(parted.failure().map(FailoverCause::as_str));
        parted
    }

    pub(super) async fn connect(&self) -> Result<Wire, Parted> {
        if let Connect::Within(reach) = &self.relay.config().connect {
            return reach(&self.offer.advertise)
                .map(Either::Right)
                .ok_or(Parted::Failed(FailoverCause::Unreachable));
        }
        let connecting = TcpStream::connect(&self.offer.advertise);
        let Ok(Ok(socket)) = timeout(LINK_SILENCE, connecting).await else {
            return Err(Parted::Failed(FailoverCause::Unreachable));
        };
        drop(socket.set_nodelay(true));
        Ok(Either::Left(socket))
    }

    /// Follows the link over any socket.
    pub async fn follow(
        &self,
        mut socket: impl AsyncRead + AsyncWrite + Unpin,
        opening: &mut Opening,
    ) -> Parted {
        let mut arrived = Arrived::default();
        if let Err(parted) = self.agree(&mut socket, &mut arrived.bytes, opening).await {
            return parted;
        }
        self.is_open();
        self.read(&mut socket, &mut arrived, opening).await
    }

    fn is_open(&self) {
        self.stream.held.opened(self.offer.id);
        self.opened.notify_one();
    }

    /// Has the provider agree to serve.
    pub(super) async fn agree<S>(
        &self,
        socket: &mut S,
        buffer: &mut BytesMut,
        opening: &Opening,
    ) -> Result<(), Parted>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let status = match timeout(LINK_SILENCE, self.open(socket, buffer, opening)).await {
            Err(_) => return Err(Parted::Failed(FailoverCause::Silent)),
            Ok(Err(_)) => return Err(Parted::Failed(FailoverCause::Closed)),
            Ok(Ok(status)) => status,
        };
        opening.answered(status);
        match status {
            200 => Ok(()),
            410 => Err(Parted::Gone),
            503 => Err(Parted::Refused(FailoverCause::Full)),
            _ => Err(Parted::Refused(FailoverCause::Refused)),
        }
    }

    /// Sends the request and reads the head of the answer; its status.
    async fn open<S>(
        &self,
        socket: &mut S,
        buffer: &mut BytesMut,
        opening: &Opening,
    ) -> Result<u16, HttpError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let incarnation = self.stream.log.incarnation();
        let from = self
            .from
            .map(|id| format!("?from={id}&incarnation={incarnation}"))
            .unwrap_or_default();
        let slug = &self.stream.slug;
        let offer = self.offer;
        let trace: String = opening
            .fields()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let request = format!(
            "GET /relay/{slug}{from} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             {VERSIONS_FIELD}: {}\r\n{trace}\r\n",
            offer.advertise,
            &*offer.token,
            Versions::OURS
        );
        socket.write_all(request.as_bytes()).await?;
        loop {
            if let Some(status) = parse_head(buffer)? {
                return Ok(status);
            }
            if buffer.len() > HEAD_BYTES_MAX || socket.read_buf(buffer).await? == 0 {
                return Err(HttpError::HeadTooLong);
            }
        }
    }

    async fn read<S: AsyncRead + Unpin>(
        &self,
        socket: &mut S,
        arrived: &mut Arrived,
        opening: &mut Opening,
    ) -> Parted {
        let mut reading = Reading {
            opening,
            lost_since: None,
            backlog_until: None,
            media: Vec::new(),
            failing: self.failing,
        };
        loop {
            if let Some(parted) = self.take_records(arrived, &mut reading) {
                return parted;
            }
            if let Err(parted) = arrived.more(socket).await {
                return parted;
            }
        }
    }

    /// Takes every whole record that has arrived, and appends its media at once.
    fn take_records(&self, arrived: &mut Arrived, reading: &mut Reading<'_>) -> Option<Parted> {
        let mut parted = None;
        while parted.is_none() {
            match arrived.next() {
                Ok(None) => break,
                Ok(Some(record)) => parted = self.take(record, reading),
                Err(error) => {
                    if let Some(times) = NONSENSE.occurred(self.stream.slug.as_str()) {
                        tracing::warn!(stream.slug = %self.stream.slug, %error, times, "provider sends nonsense");
                    }
                    parted = Some(Parted::Failed(FailoverCause::Malformed));
                }
            }
        }
        self.note_gap(reading);
        let appended = self.stream.log.append(reading.media.drain(..));
        if let Err(error) = appended {
            if let Some(times) = LEFT_OUT.occurred(self.stream.slug.as_str()) {
                tracing::warn!(stream.slug = %self.stream.slug, %error, times, "provider left frames out");
            }
            return Some(Parted::Failed(FailoverCause::MissingFrames));
        }
        self.note_supply(reading);
        parted
    }

    fn take(&self, record: Record, reading: &mut Reading<'_>) -> Option<Parted> {
        match record {
            Record::Path(path) => {
                reading.opening.hops(path.len());
                return self.take_path(path);
            }
            Record::Parameters(_) => {}
            Record::Start(start) => reading.media.push(Media::Start(start)),
            Record::Frame(frame) => reading.media.push(Media::Frame(frame)),
            Record::End(end) => reading.media.push(Media::End(end)),
            Record::KeepAlive {
                newest,
                upstream_ok,
            } => {
                if reading.backlog_until.is_none() && self.is_elsewhere(newest) {
                    return Some(Parted::Gone);
                }
                reading.backlog_until.get_or_insert(newest);
                let since = *reading.lost_since.get_or_insert_with(Instant::now);
                if upstream_ok {
                    reading.lost_since = None;
                } else if since.elapsed() >= UPSTREAM_LOST {
                    return Some(Parted::Failed(FailoverCause::UpstreamLost));
                }
            }
            Record::Ended => return Some(Parted::Ended),
            Record::Version(version) if Versions::OURS.contains(version) => {}
            Record::Version(version) => {
                tracing::warn!(stream.slug = %self.stream.slug, version, "provider chose a version that was not offered");
                return Some(Parted::Failed(FailoverCause::Malformed));
            }
        }
        None
    }

    /// Whether a provider that has come to `newest` would be long in coming to the frame that is asked for: all that is
    /// held here is ahead of it. Either it is far behind, or its stream has begun anew.
    fn is_elsewhere(&self, newest: Option<FrameId>) -> bool {
        let oldest = self.stream.log.oldest_gop();
        self.from.is_some()
            && newest
                .zip(oldest)
                .is_some_and(|(newest, oldest)| newest.gop < oldest)
    }

    fn take_path(&self, mut path: Vec<NodeId>) -> Option<Parted> {
        if let Some(fault) = fault_of(&path, self.relay.node()) {
            return Some(Parted::Failed(fault));
        }
        path.push(self.relay.node());
        self.stream.path.send_if_modified(|now| {
            let changed = *now != path;
            *now = path;
            changed
        });
        None
    }

    /// Once the provider's backlog is here, viewers may start at the newest keyframe.
    fn note_supply(&self, reading: &mut Reading<'_>) {
        // What the provider has lost is not lost here yet: told on at once, everybody below would leave together.
        self.stream.set_upstream_ok(true);
        let Some(backlog_until) = reading.backlog_until else {
            return;
        };
        let newest = self.stream.log.newest();
        if newest.is_some() && newest >= backlog_until && self.stream.log.newest_entry().is_some() {
            self.stream.supply.send_if_modified(|supply| {
                let news = *supply != Supply::Flowing;
                *supply = Supply::Flowing;
                news
            });
            reading.opening.done();
            self.episode.flows();
        }
    }

    /// The first frame after a failover ends its gap.
    fn note_gap(&self, reading: &mut Reading<'_>) {
        if reading.media.is_empty() {
            return;
        }
        if let Some(failing) = reading.failing.take() {
            let gap = failing.since.elapsed();
            observe::failed_over(&self.stream.slug, &failing, self.offer.provider, gap);
            self.episode.failed_over(self.offer.provider, gap);
        }
    }
}

/// Why `node` cannot hang below `path`.
pub(super) fn fault_of(path: &[NodeId], node: NodeId) -> Option<FailoverCause> {
    if path.contains(&node) {
        return Some(FailoverCause::Loop);
    }
    // Somewhere above, a relay has moved with all that hangs below it.
    (path.len() > HOPS_MAX as usize).then_some(FailoverCause::TooFar)
}

fn parse_head(buffer: &mut BytesMut) -> Result<Option<u16>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    match head.parse(buffer).map_err(HttpError::NotHttp)? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => {
            let status = head.code;
            buffer.advance(length);
            Ok(status)
        }
    }
}

#[cfg(test)]
mod tests;
