//! Being the origin of a stream: a publish from its grant to the end of its grace window.

use crate::core::{FeedToken, Origin, Relay, Stage, StartedPublish, Stream, origin_state};
use crate::log::HlsView;
use crate::observe::{self, IngestHealth};
use astral_media::frame::Media;
use astral_media::publish::Warning;
use astral_media::timeline::{EpochStart, Input, Timeline, TimelineProgress, TracksBefore};
use astral_proto::limits::PUBLISHER_GRACE;
use astral_proto::message::{GoLive, Grant, NoticeKind, PublisherGone, PublisherNotice};
use astral_proto::{Code, Micros, Problem, Secret, Slug};
use std::sync::Arc;
use tokio::time::Instant;

/// A publish under way on this relay.
pub struct Publish {
    relay: Relay,
    stream: Arc<Stream>,
    token: FeedToken,
    epoch: u64,
    timeline: Timeline,
    out: Vec<Media>,
    health: IngestHealth,
    /// Whether the feed knows that media flows.
    flows: bool,
}

impl Publish {
    /// Makes this relay the origin of `slug`.
    ///
    /// # Errors
    /// `conflict` while another publisher feeds the stream, `unauthenticated` for a wrong key,
    /// `unavailable` when draining or kept out by the host; or what else the directory says.
    pub async fn begin(relay: &Relay, slug: &Slug, key: Option<Secret>) -> Result<Self, Problem> {
        if relay.departure().has_begun() {
            return Err(Problem::new(
                Code::Unavailable,
                "this relay is leaving, publish to another",
            ));
        }
        let stream = relay.streams().find_or_add(slug)?;
        // Before the directory is asked, so that it grants no epoch to a publisher that is refused
        // here.
        stream.feed.read(|feed| feed.check_publish(slug))?;
        let grant = ask_for_grant(relay, &stream, key).await?;
        let publish = Self::start(relay, stream, &grant)?;
        tracing::info!(stream.slug = %slug, stream.epoch = grant.epoch, "publish begins");
        Ok(publish)
    }

    fn start(relay: &Relay, stream: Arc<Stream>, grant: &Grant) -> Result<Self, Problem> {
        let origin = first_state(&stream, grant, relay.now_ms());
        let has_ended = stream.log.has_ended();
        let started = stream
            .feed
            .update(|feed| feed.start_publish(&stream.slug, origin, has_ended))?;
        if started.replaces_origin {
            stream.log.end_open_gop();
        }
        let timeline = Timeline::new(epoch_start(&stream, grant, &started));
        if started.starts_over {
            stream.log.start_over();
        }
        stream.path.send_replace(vec![relay.node()]);
        let health = IngestHealth::new(relay.node(), &stream.slug);
        let flows = stream.feed.read(|feed| feed.stage() == Stage::Flowing);
        Ok(Self {
            relay: relay.clone(),
            stream,
            token: started.token,
            epoch: grant.epoch,
            timeline,
            out: Vec::new(),
            health,
            flows,
        })
    }

    /// Revoked when somebody else feeds the stream.
    pub fn token(&self) -> &FeedToken {
        &self.token
    }

    /// Appends what the publisher sent. False once somebody else feeds the stream.
    pub fn push(&mut self, inputs: impl IntoIterator<Item = Input>) -> bool {
        let now = self.relay.now_ms();
        for input in inputs {
            self.health.sent(&input);
            self.timeline.push(input, now.into(), &mut self.out);
        }
        self.health
            .made(&self.out, self.timeline.jumps(), self.timeline.stand_ins());
        self.append(now)
    }

    /// Whether a GOP was cut for its length since the last call.
    pub fn take_cut_long_gop(&mut self) -> bool {
        self.timeline.take_cut_long_gop()
    }

    /// The epoch of the publish.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Notes in the log, the metrics and the next heartbeats what the publisher should change.
    pub fn warn(&self, warning: &Warning) {
        observe::publisher_warned(self.relay.node(), &self.stream.slug, warning);
        self.relay.notices().add(PublisherNotice {
            slug: self.stream.slug.clone(),
            epoch: self.epoch,
            kind: NoticeKind::Warned,
            reason: warning.reason().to_owned(),
            detail: warning.to_string(),
            age_ms: 0,
        });
    }

    fn append(&mut self, now_ms: u64) -> bool {
        if self.token.is_revoked() {
            return false;
        }
        if let Some(progress) = self.timeline.progress() {
            self.stream.feed.update(|feed| {
                feed.update_origin(&self.token, |origin| {
                    origin.progress = progress;
                    origin.last_media = Instant::now();
                    origin.last_media_at = now_ms;
                })
            });
        }
        let has_media = !self.out.is_empty();
        let end_if_it_stops = self.timeline.end_if_it_stops();
        let media = self.out.drain(..);
        if let Err(error) = self.stream.log.append_published(media, end_if_it_stops) {
            // A timeline leaves no frame out, so somebody else feeds the stream now and has ended
            // the open GOP.
            tracing::info!(stream.slug = %self.stream.slug, %error, "publish taken over");
            return false;
        }
        if has_media && !self.flows {
            self.stream.feed.update(|feed| feed.flow(&self.token));
            self.flows = true;
        }
        true
    }

    /// The publisher has left: the grace window starts.
    pub async fn finish(mut self) {
        self.timeline.finish(&mut self.out);
        let now = self.relay.now_ms();
        if !self.append(now) {
            return;
        }
        tracing::info!(stream.slug = %self.stream.slug, stream.epoch = self.epoch, "publisher gone, grace window");
        self.stream.feed.update(|feed| {
            feed.update_origin(&self.token, |origin| origin.has_publisher = false);
        });
        report_gone(&self.relay, &self.stream, false).await;
    }
}

/// The state of a publish before its first frame.
fn first_state(stream: &Stream, grant: &Grant, now_ms: u64) -> Origin {
    let progress = TimelineProgress {
        end_dts: grant.first_dts.get(),
        discontinuity: grant.discontinuity,
        target_duration_seconds: grant.target_duration_seconds,
        newest: stream.log.newest().unwrap_or_default(),
    };
    Origin {
        incarnation: grant.incarnation,
        epoch: grant.epoch,
        progress,
        last_media: Instant::now(),
        last_media_at: now_ms,
        has_publisher: true,
    }
}

/// Where the timeline of a publish begins: after what the log holds, if viewers still watch that.
fn epoch_start(stream: &Stream, grant: &Grant, started: &StartedPublish) -> EpochStart {
    let tracks = match stream.log.newest_start() {
        Some(start) if !started.starts_over => TracksBefore {
            video: start.parameters.video.is_some(),
            audio: start.parameters.audio.is_some(),
        },
        _ => TracksBefore::default(),
    };
    EpochStart {
        incarnation: grant.incarnation,
        epoch: grant.epoch,
        first_gop: grant.first_gop,
        first_dts: grant.first_dts.get(),
        discontinuity: grant.discontinuity,
        target_duration_seconds: grant.target_duration_seconds,
        tracks,
        first_fragment: HlsView::new(&stream.log).fragment_after(grant.first_gop),
    }
}

async fn ask_for_grant(
    relay: &Relay,
    stream: &Stream,
    key: Option<Secret>,
) -> Result<Grant, Problem> {
    let held = stream.epoch_id();
    let request = GoLive {
        slug: stream.slug.clone(),
        key,
        node: relay.node(),
        newest: stream.log.newest(),
        newest_dts: stream.log.end_dts().map(Micros::new),
        incarnation: held.incarnation,
        epoch: held.epoch,
    };
    match relay.control().go_live(request).await {
        Err(problem) if problem.code.may_retry() => {
            own_grant(stream).ok_or(problem.for_outsiders())
        }
        answer => answer,
    }
}

/// The next epoch of an origin whose directory is away. The origin grants it to itself and reports
/// it later, because a publisher that returns must not wait for the control plane.
fn own_grant(stream: &Stream) -> Option<Grant> {
    let origin = stream.origin()?;
    let away = origin.last_media.elapsed().as_micros() as u64;
    Some(Grant {
        incarnation: origin.incarnation,
        epoch: origin.epoch + 1,
        first_gop: stream.log.newest().map_or(0, |newest| newest.gop + 1),
        first_dts: Micros::new(origin.progress.end_dts + away),
        discontinuity: origin.progress.discontinuity + 1,
        target_duration_seconds: origin.progress.target_duration_seconds,
    })
}

/// Ends the publishes whose grace window is over. Call it once a second.
pub fn end_expired_publishes(relay: &Relay) {
    for stream in relay.streams().all() {
        let Some(origin) = stream.origin() else {
            continue;
        };
        let grace_is_over = !origin.has_publisher && origin.last_media.elapsed() >= PUBLISHER_GRACE;
        if grace_is_over && !stream.log.has_ended() {
            end(relay, stream, origin.epoch);
        }
    }
}

fn end(relay: &Relay, stream: Arc<Stream>, epoch: u64) {
    tracing::info!(stream.slug = %stream.slug, stream.epoch = epoch, "stream ended");
    stream.log.end();
    let reporting_relay = relay.clone();
    relay.spawn(async move {
        report_gone(&reporting_relay, &stream, true).await;
        // Only now: as long as the directory may take this relay for the origin, it must answer as
        // the origin.
        let problem = stream.has_ended_problem();
        stream.feed.update(|feed| feed.end_publish(epoch, problem));
    });
}

async fn report_gone(relay: &Relay, stream: &Stream, ended: bool) {
    let Some(origin) = stream.origin() else {
        return;
    };
    let report = PublisherGone {
        slug: stream.slug.clone(),
        incarnation: origin.incarnation,
        epoch: origin.epoch,
        node: relay.node(),
        ended,
        origin: origin_state(&origin, stream.log.newest()),
    };
    if let Err(problem) = relay.control().publisher_gone(report).await {
        tracing::debug!(%problem, "directory not told that a publisher has gone");
    }
}
