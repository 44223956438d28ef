//! What the tests of the relay share: a relay without a control plane, and GOPs to feed it.

use crate::config::{Connect, Reach, RelayConfig};
use crate::control::{Answer, ControlPlane};
use crate::core::{Origin, Relay, Stream};
use astral_env::Env;
use astral_media::frame::{
    Frame, GopEnd, GopStart, Parameters, Track, VideoCodec, VideoParameters, first_fragment_of,
};
use astral_media::timeline::TimelineProgress;
use astral_proto::message::{
    CancelTicket, ConfirmTicket, GoLive, Grant, Heartbeat, HeartbeatReply, Leave, PublisherGone,
    Register, Registered, RequestTicket, Standby, SwitchTicket, Tickets,
};
use astral_proto::{Code, EpochId, FrameId, Incarnation, Micros, NodeId, Problem, Slug};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A control plane that is away. It grants publishes if `grants`, and refuses tickets with
/// `no_ticket`.
struct Away {
    grants: bool,
    no_ticket: Code,
}

impl Default for Away {
    fn default() -> Self {
        Self {
            grants: false,
            no_ticket: Code::ControlPlaneAway,
        }
    }
}

fn away<T>() -> Answer<'static, T> {
    Box::pin(async { Err(Problem::new(Code::ControlPlaneAway, "nobody is there")) })
}

impl ControlPlane for Away {
    fn register(&self, _: Register) -> Answer<'_, Registered> {
        away()
    }
    fn heartbeat(&self, _: Heartbeat) -> Answer<'_, HeartbeatReply> {
        away()
    }
    fn leave(&self, _: Leave) -> Answer<'_, ()> {
        away()
    }
    fn go_live(&self, _: GoLive) -> Answer<'_, Grant> {
        if !self.grants {
            return away();
        }
        let grant = Grant {
            incarnation: Incarnation::default(),
            epoch: 1,
            first_gop: 0,
            first_dts: Micros::new(0),
            discontinuity: 0,
            target_duration_seconds: None,
        };
        Box::pin(async { Ok(grant) })
    }
    fn publisher_gone(&self, _: PublisherGone) -> Answer<'_, ()> {
        away()
    }
    fn request_ticket(&self, _: RequestTicket) -> Answer<'_, Tickets> {
        let problem = Problem::new(
            self.no_ticket,
            format!("no ticket: {}", self.no_ticket.as_str()),
        );
        Box::pin(async { Err(problem) })
    }
    fn confirm_ticket(&self, _: &Slug, _: ConfirmTicket) -> Answer<'_, ()> {
        away()
    }
    fn switch_ticket(&self, _: SwitchTicket) -> Answer<'_, Standby> {
        away()
    }
    fn cancel_ticket(&self, _: &Slug, _: CancelTicket) -> Answer<'_, ()> {
        away()
    }
}

/// A relay whose control plane is away.
pub fn relay() -> Relay {
    relay_by(Connect::Tcp)
}

/// A relay whose control plane grants every publish and does nothing else.
pub fn relay_that_may_publish() -> Relay {
    relay_under(
        Away {
            grants: true,
            ..Away::default()
        },
        Connect::Tcp,
    )
}

/// A relay that is refused every ticket for `code`.
pub fn relay_without_ticket(code: Code) -> Relay {
    relay_under(
        Away {
            no_ticket: code,
            ..Away::default()
        },
        Connect::Tcp,
    )
}

/// One that reaches others by `connect`.
pub fn relay_by(connect: Connect) -> Relay {
    relay_under(Away::default(), connect)
}

fn relay_under(control: Away, connect: Connect) -> Relay {
    let config = RelayConfig {
        node: NodeId::random(),
        reach: Reach::new(
            ([127, 0, 0, 1], 0).into(),
            ([127, 0, 0, 1], 0).into(),
            None,
            None,
        ),
        limit_kbps: 1_000_000,
        cache_bytes_max: 64 << 20,
        gateway_url: None,
        allow_drills: false,
        connect,
        env: Env::system(),
    };
    crate::node::start(
        config,
        Arc::new(control),
        CancellationToken::new(),
        TaskTracker::new(),
    )
}

/// The stream `slug` of `relay`, with a publisher that has not sent anything.
pub fn publish(relay: &Relay, slug: &Slug) -> Arc<Stream> {
    let stream = relay.streams().find_or_add(slug).unwrap();
    let progress = TimelineProgress {
        end_dts: 0,
        discontinuity: 0,
        target_duration_seconds: None,
        newest: FrameId::default(),
    };
    let origin = Origin {
        incarnation: Incarnation::default(),
        epoch: 1,
        progress,
        last_media: Instant::now(),
        last_media_at: 0,
        has_publisher: true,
    };
    let started = stream
        .feed
        .update(|feed| feed.start_publish(slug, origin, false));
    started.unwrap();
    stream
}

/// The publish that the GOPs below belong to.
pub fn epoch() -> EpochId {
    EpochId {
        incarnation: Incarnation::from_bits(0x5eed),
        epoch: 1,
    }
}

/// How to decode the pictures below.
pub fn parameters() -> Arc<Parameters> {
    let config = Bytes::from_static(b"config");
    let video = VideoParameters {
        codec: VideoCodec::H264,
        config,
        width: 640,
        height: 360,
    };
    let EpochId { incarnation, epoch } = epoch();
    Arc::new(Parameters {
        incarnation,
        epoch,
        init: 0,
        video: Some(video),
        audio: None,
    })
}

/// The start of GOP `gop`.
pub fn gop_start(gop: u64) -> GopStart {
    GopStart {
        gop,
        parameters: parameters(),
        discontinuity: 0,
        independent: true,
        starts_at: gop * 2_000_000,
        wall_clock: 1_700_000_000_000.into(),
        program_date_time: (1_700_000_000_000 + gop * 2_000).into(),
        first_fragment: first_fragment_of(gop),
        target_duration_seconds: Some(2),
    }
}

/// Frame `number` of GOP `gop`: each lasts 0.4 s and is a part, five make a GOP.
pub fn frame(gop: u64, number: u32) -> Arc<Frame> {
    Arc::new(Frame {
        id: FrameId::new(gop, number),
        track: Track::Video,
        keyframe: number == 0,
        dts: gop * 2_000_000 + u64::from(number) * 400_000,
        cts: 0,
        part: number,
        part_starts_at: number * 400_000,
        payload: Bytes::from(vec![number as u8; 1000]),
    })
}

/// The end of GOP `gop`.
pub fn gop_end(gop: u64) -> GopEnd {
    GopEnd {
        gop,
        frames: 5,
        duration: 2_000_000,
        video_duration: 400_000,
        audio_duration: 0,
        target_duration_seconds: Some(2),
    }
}
