//! Being the origin of a stream: a publish from its grant to the end of its grace window.

use crate::clock::unix_ms;
use crate::core::Relay;
use crate::core::{Origin, Seat, SeatKind, Stream, Supply, origin_state};
use crate::observe::{self, IngestHealth};
use astral_media::frame::Media;
use astral_media::publish::Warning;
use astral_media::timeline::{EpochStart, Input, Timeline, TimelineProgress, TracksBefore};
use astral_proto::limits::{PUBLISHER_ALIVE, PUBLISHER_GRACE};
use astral_proto::message::{FenceReason, GoLive, Grant, NoticeKind, PublisherGone};
use astral_proto::{Code, Problem, Secret, Slug};
use std::sync::Arc;
use tokio::time::Instant;

/// A publish under way on this relay.
pub struct Publish {
    relay: Relay,
    stream: Arc<Stream>,
    seat: Seat,
    epoch: u64,
    timeline: Timeline,
    out: Vec<Media>,
    health: IngestHealth,
}

impl Publish {
    /// Makes this relay the origin of `slug`.
    ///
    /// # Errors
    /// `conflict` while another publisher feeds the stream, `unauthenticated` for a wrong key, `unavailable` when
    /// draining or kept out by the host; or what else the directory says.
    pub async fn begin(relay: &Relay, slug: &Slug, key: Option<Secret>) -> Result<Self, Problem> {
        if relay.is_draining() {
            return Err(Problem::new(
                Code::Unavailable,
                "this relay is leaving, publish to another",
            ));
        }
        let stream = relay.find_or_add(slug)?;
        stream.refuse_kept_out()?;
        refuse_second_publisher(&stream)?;
        let grant = ask_for_grant(relay, &stream, key).await?;
        refuse_second_publisher(&stream)?;
        tracing::info!(stream.slug = %slug, stream.epoch = grant.epoch, "publish begins");
        Ok(Self::start(relay, stream, grant))
    }

    fn start(relay: &Relay, stream: Arc<Stream>, grant: Grant) -> Self {
        let seat = stream.take_seat(SeatKind::Origin);
        if stream.origin().is_some() {
            stream.log.end_open_gop();
        }
        let beginning = EpochStart {
            incarnation: grant.incarnation,
            epoch: grant.epoch,
            first_gop: grant.first_gop,
            first_dts: grant.first_dts,
            discontinuity: grant.discontinuity,
            target_duration_seconds: grant.target_duration_seconds,
            tracks: tracks_before(&stream),
            first_fragment: stream.log.fragment_after(grant.first_gop),
        };
        let reached = TimelineProgress {
            end_dts: grant.first_dts,
            discontinuity: grant.discontinuity,
            target_duration_seconds: grant.target_duration_seconds,
            newest: stream.log.newest().unwrap_or_default(),
        };
        if stream.is_over() {
            stream.start_over();
        }
        stream.set_origin(Some(Origin {
            incarnation: grant.incarnation,
            epoch: grant.epoch,
            reached,
            last_media: Instant::now(),
            last_media_at: unix_ms(),
            has_publisher: true,
        }));
        stream.set_upstream_ok(true);
        stream.path.send_replace(vec![relay.node()]);
        let timeline = Timeline::new(beginning);
        let health = IngestHealth::new(relay.node(), &stream.slug);
        Self {
            relay: relay.clone(),
            stream,
            seat,
            epoch: grant.epoch,
            timeline,
            out: Vec::new(),
            health,
        }
    }

    /// Cancelled when another publisher or another origin has taken the stream over.
    pub fn taken(&self) -> tokio_util::sync::CancellationToken {
        self.seat.taken.clone()
    }

    /// Why the stream was taken from this publisher, once it was.
    pub fn why_taken(&self) -> FenceReason {
        self.seat.why_taken()
    }

    /// Takes what the publisher sent. False once somebody else feeds the stream.
    pub fn push(&mut self, inputs: impl IntoIterator<Item = Input>) -> bool {
        let now = unix_ms();
        for input in inputs {
            self.health.sent(&input);
            self.timeline.push(input, now.into(), &mut self.out);
        }
        self.health
            .made(&self.out, self.timeline.jumps(), self.timeline.stand_ins());
        self.append(now)
    }

    /// Whether a GOP was cut for its length since this was last asked.
    pub fn take_cut_long_gop(&mut self) -> bool {
        self.timeline.take_cut_long_gop()
    }

    /// The publish.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Tells whoever looks at the stream, its log or its metrics what its publisher should change.
    pub fn warn(&self, warning: &Warning) {
        observe::publisher_warned(&self.relay, &self.stream.slug, warning);
        let detail = warning.to_string();
        let slug = &self.stream.slug;
        self.relay.note_publisher(
            slug,
            self.epoch,
            NoticeKind::Warned,
            warning.reason(),
            &detail,
        );
    }

    fn append(&mut self, now_ms: u64) -> bool {
        if self.seat.taken.is_cancelled() {
            return false;
        }
        if let Some(reached) = self.timeline.progress() {
            self.stream.update_origin(self.epoch, |origin| {
                origin.reached = reached;
                origin.last_media = Instant::now();
                origin.last_media_at = now_ms;
            });
        }
        let flowing = !self.out.is_empty();
        if let Err(error) = self
            .stream
            .log
            .append_published(self.out.drain(..), self.timeline.end_if_it_stops())
        {
            // A timeline leaves no frame out: somebody took the seat just now and has ended the open GOP.
            tracing::info!(stream.slug = %self.stream.slug, %error, "publish taken over");
            return false;
        }
        if flowing && *self.stream.supply.borrow() != Supply::Flowing {
            self.stream.supply.send_replace(Supply::Flowing);
        }
        true
    }

    /// The publisher is gone: its grace window begins.
    pub async fn finish(mut self) {
        self.timeline.finish(&mut self.out);
        if !self.append(unix_ms()) {
            return;
        }
        tracing::info!(stream.slug = %self.stream.slug, stream.epoch = self.epoch, "publisher gone, grace window");
        self.stream
            .update_origin(self.epoch, |origin| origin.has_publisher = false);
        report_gone(&self.relay, &self.stream, false).await;
    }
}

/// The tracks that viewers have who still watch.
fn tracks_before(stream: &Stream) -> TracksBefore {
    match stream.log.newest_start() {
        Some(start) if !stream.is_over() && !stream.log.has_ended() => TracksBefore {
            video: start.parameters.video.is_some(),
            audio: start.parameters.audio.is_some(),
        },
        _ => TracksBefore::default(),
    }
}

fn refuse_second_publisher(stream: &Stream) -> Result<(), Problem> {
    let busy = stream.origin().is_some_and(|origin| {
        origin.has_publisher && origin.last_media.elapsed() < PUBLISHER_ALIVE
    });
    if busy {
        let detail = format!("stream {:?} has a publisher already", stream.slug.as_str());
        return Err(Problem::new(Code::Conflict, detail));
    }
    Ok(())
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
        newest_dts: stream.log.end_dts(),
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

/// With the directory away, an origin may go on as the next epoch by itself and report it later.
fn own_grant(stream: &Stream) -> Option<Grant> {
    let origin = stream.origin()?;
    let away = origin.last_media.elapsed().as_micros() as u64;
    Some(Grant {
        incarnation: origin.incarnation,
        epoch: origin.epoch + 1,
        first_gop: stream.log.newest().map_or(0, |newest| newest.gop + 1),
        first_dts: origin.reached.end_dts + away,
        discontinuity: origin.reached.discontinuity + 1,
        target_duration_seconds: origin.reached.target_duration_seconds,
    })
}

/// Ends the publishes whose grace window is over.
pub fn expire(relay: &Relay) {
    for stream in relay.streams() {
        let Some(origin) = stream.origin() else {
            continue;
        };
        let grace_is_over = !origin.has_publisher && origin.last_media.elapsed() >= PUBLISHER_GRACE;
        if grace_is_over && !stream.log.has_ended() {
            end(relay, &stream, origin.epoch);
        }
    }
}

fn end(relay: &Relay, stream: &Arc<Stream>, epoch: u64) {
    tracing::info!(stream.slug = %stream.slug, stream.epoch = epoch, "stream ended");
    stream.log.end();
    let relay_then = relay.clone();
    let stream = stream.clone();
    let reporting = async move {
        report_gone(&relay_then, &stream, true).await;
        if stream
            .origin()
            .is_some_and(|origin| origin.epoch == epoch && !origin.has_publisher)
        {
            stream.set_origin(None);
            stream.unseat();
        }
    };
    relay.spawn(reporting);
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
