//! One relay link from the side of its subscriber: following it, and noticing when it fails.

use super::arrived::Arrived;
use super::connection::{self, LinkRequest, Wire};
use super::link_end::LinkEnd;
use super::ready_link::ReadyLink;
use crate::core::{FeedToken, PullTickets, Relay, Stream};
use crate::failover_cause::FailoverCause;
use crate::observe::{self, Episode, LinkSpan};
use astral_media::frame::Media;
use astral_media::record::{Record, Versions};
use astral_proto::limits::{HOPS_MAX, UPSTREAM_LOST};
use astral_proto::message::Offer;
use astral_proto::{FrameId, NodeId};
use astral_runtime::LogThrottle;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Limits the log lines about providers that send what is no record.
static MALFORMED: LogThrottle = LogThrottle::new();
/// Limits the log lines about providers that leave frames out.
static MISSING: LogThrottle = LogThrottle::new();

/// A failure that interrupted the frames.
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
pub struct Link<'a> {
    pub relay: &'a Relay,
    pub stream: &'a Arc<Stream>,
    pub token: &'a FeedToken,
    pub tickets: &'a PullTickets,
    pub offer: &'a Offer,
    /// The first frame wanted; None for the oldest one that the provider lists.
    pub from: Option<FrameId>,
    /// Notified when the provider has agreed to serve.
    pub opened: &'a Notify,
    /// The failure that interrupted the frames, until the next frame arrives.
    pub failing: Option<Failing>,
    /// The trace that the link belongs to.
    pub episode: &'a Episode,
}

/// What a link has come to.
struct Reading<'a> {
    span: &'a mut LinkSpan,
    /// Since when the provider has reported that its own upstream is lost.
    lost_since: Option<Instant>,
    /// The newest frame that the provider had when the link opened.
    backlog_until: Option<Option<FrameId>>,
    media: Vec<Media>,
    failing: Option<Failing>,
    noted: Noted,
}

/// What the feed already knows of a link, so that it is not locked again for every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    Nothing,
    /// That the link is alive.
    UpstreamOk,
    /// And that the backlog is here.
    Flowing,
}

impl Link<'_> {
    /// Follows the link until it ends or fails: `ready` if it is given, or else one that this
    /// opens.
    pub async fn run(&self, ready: Option<ReadyLink>) -> LinkEnd {
        let guarded = self.relay.gate().guard(self.follow_ready(ready)).await;
        guarded.unwrap_or(LinkEnd::Failed(FailoverCause::Drill))
    }

    /// Starts the span of this link.
    pub fn start_span(&self) -> LinkSpan {
        LinkSpan::start(self.episode, self.offer.provider, &self.offer.advertise)
    }

    /// Connects to the provider.
    ///
    /// # Errors
    /// As [`connection::connect`].
    pub async fn connect(&self) -> Result<Wire, LinkEnd> {
        connection::connect(&self.relay.config().connect, &self.offer.advertise).await
    }

    /// Asks the provider to serve, over `socket`.
    ///
    /// # Errors
    /// As [`connection::ask`].
    pub async fn ask<S>(
        &self,
        socket: &mut S,
        arrived: &mut Arrived,
        span: &LinkSpan,
    ) -> Result<(), LinkEnd>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let request = LinkRequest {
            slug: &self.stream.slug,
            offer: self.offer,
            from: self.from,
            incarnation: self.stream.log.incarnation(),
        };
        connection::ask(&request, socket, &mut arrived.bytes, span).await
    }

    async fn follow_ready(&self, ready: Option<ReadyLink>) -> LinkEnd {
        let (mut span, link_end);
        if let Some(mut ready) = ready {
            self.note_open();
            link_end = self
                .read(&mut ready.wire, &mut ready.arrived, &mut ready.span)
                .await;
            span = ready.span;
        } else {
            span = self.start_span();
            link_end = match self.connect().await {
                Ok(wire) => self.follow(wire, &mut span).await,
                Err(link_end) => link_end,
            };
        }
        span.broke_off(link_end.cause().map(FailoverCause::as_str));
        link_end
    }

    /// Follows the link over any socket.
    pub async fn follow(
        &self,
        mut socket: impl AsyncRead + AsyncWrite + Unpin,
        span: &mut LinkSpan,
    ) -> LinkEnd {
        let mut arrived = Arrived::default();
        if let Err(link_end) = self.ask(&mut socket, &mut arrived, span).await {
            return link_end;
        }
        self.note_open();
        self.read(&mut socket, &mut arrived, span).await
    }

    fn note_open(&self) {
        self.tickets.link_opened(self.offer.id);
        self.opened.notify_one();
    }

    async fn read<S: AsyncRead + Unpin>(
        &self,
        socket: &mut S,
        arrived: &mut Arrived,
        span: &mut LinkSpan,
    ) -> LinkEnd {
        let mut reading = Reading {
            span,
            lost_since: None,
            backlog_until: None,
            media: Vec::new(),
            failing: self.failing,
            noted: Noted::Nothing,
        };
        loop {
            if let Some(link_end) = self.take_records(arrived, &mut reading) {
                return link_end;
            }
            if let Err(link_end) = arrived.more(socket).await {
                return link_end;
            }
        }
    }

    /// Takes every whole record that has arrived, and appends their media together, so that readers
    /// are woken once.
    fn take_records(&self, arrived: &mut Arrived, reading: &mut Reading<'_>) -> Option<LinkEnd> {
        let mut link_end = None;
        while link_end.is_none() {
            match arrived.next() {
                Ok(None) => break,
                Ok(Some(record)) => link_end = self.take(record, reading),
                Err(error) => {
                    if let Some(times) = MALFORMED.occurred(self.stream.slug.as_str()) {
                        tracing::warn!(stream.slug = %self.stream.slug, %error, times, "provider sent what is no record");
                    }
                    link_end = Some(LinkEnd::Failed(FailoverCause::Malformed));
                }
            }
        }
        self.note_gap(reading);
        let appended = self.stream.log.append(reading.media.drain(..));
        if let Err(error) = appended {
            if let Some(times) = MISSING.occurred(self.stream.slug.as_str()) {
                tracing::warn!(stream.slug = %self.stream.slug, %error, times, "provider left frames out");
            }
            return Some(LinkEnd::Failed(FailoverCause::MissingFrames));
        }
        self.note_progress(reading);
        link_end
    }

    fn take(&self, record: Record, reading: &mut Reading<'_>) -> Option<LinkEnd> {
        match record {
            Record::Path(path) => {
                reading.span.hops(path.len());
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
                if reading.backlog_until.is_none() && self.is_far_behind(newest) {
                    return Some(LinkEnd::FrameGone);
                }
                reading.backlog_until.get_or_insert(newest);
                let since = *reading.lost_since.get_or_insert_with(Instant::now);
                if upstream_ok {
                    reading.lost_since = None;
                } else if since.elapsed() >= UPSTREAM_LOST {
                    return Some(LinkEnd::Failed(FailoverCause::UpstreamLost));
                }
            }
            Record::Ended => return Some(LinkEnd::StreamEnded),
            Record::Version(version) if Versions::OURS.contains(version) => {}
            Record::Version(version) => {
                tracing::warn!(stream.slug = %self.stream.slug, version, "provider chose a version that was not offered");
                return Some(LinkEnd::Failed(FailoverCause::Malformed));
            }
        }
        None
    }

    /// Whether the provider, whose newest frame is `newest`, is behind everything that is held
    /// here. Then it is far behind, or its stream has started again, and the frame that is due
    /// would take long to come.
    fn is_far_behind(&self, newest: Option<FrameId>) -> bool {
        let oldest = self.stream.log.oldest_gop();
        self.from.is_some()
            && newest
                .zip(oldest)
                .is_some_and(|(newest, oldest)| newest.gop < oldest)
    }

    fn take_path(&self, mut path: Vec<NodeId>) -> Option<LinkEnd> {
        if let Some(fault) = fault_of(&path, self.relay.node()) {
            return Some(LinkEnd::Failed(fault));
        }
        path.push(self.relay.node());
        self.stream.path.send_if_modified(|now| {
            let changed = *now != path;
            *now = path;
            changed
        });
        None
    }

    /// Tells the feed what it must know of this link: once that the link is alive, and once that
    /// the provider's backlog is here, so that viewers start at the newest keyframe and not in the
    /// past. A link that is alive counts as an upstream even if the provider reports that it has
    /// lost its own: if that were passed on at once, every relay below would leave a healthy
    /// provider at the same time.
    fn note_progress(&self, reading: &mut Reading<'_>) {
        if reading.noted == Noted::Nothing {
            let feed = &self.stream.feed;
            feed.update(|feed| feed.set_upstream_ok(self.token, true));
            reading.noted = Noted::UpstreamOk;
        }
        if reading.noted == Noted::UpstreamOk && self.has_backlog(reading) {
            self.stream.feed.update(|feed| feed.flow(self.token));
            reading.span.done();
            self.episode.flows();
            reading.noted = Noted::Flowing;
        }
    }

    fn has_backlog(&self, reading: &Reading<'_>) -> bool {
        let newest = self.stream.log.newest();
        let is_up_to_date = reading.backlog_until.is_some_and(|until| newest >= until);
        newest.is_some() && is_up_to_date && self.stream.log.newest_entry().is_some()
    }

    /// The first frame after a failover ends its gap.
    fn note_gap(&self, reading: &mut Reading<'_>) {
        if reading.media.is_empty() {
            return;
        }
        if let Some(failing) = reading.failing.take() {
            let gap = failing.since.elapsed();
            let provider = self.offer.provider;
            observe::failed_over(
                &self.stream.slug,
                failing.cause,
                failing.left,
                provider,
                gap,
            );
            self.episode.failed_over(self.offer.provider, gap);
        }
    }
}

/// Why `node` cannot pull from the relay at the end of `path`; None if it can.
pub fn fault_of(path: &[NodeId], node: NodeId) -> Option<FailoverCause> {
    if path.contains(&node) {
        return Some(FailoverCause::Loop);
    }
    // A relay further up may have moved, together with all below it.
    (path.len() > HOPS_MAX as usize).then_some(FailoverCause::TooFar)
}

#[cfg(test)]
mod tests;
