//! A running relay: its streams, its tickets, its capacity, and what the control plane may ask of it.

mod statement;

use crate::control::ControlPlane;
use crate::distances::Distances;
use crate::gate::Gate;
use crate::stream::{IDLE, SeatKind, Stream, Supply, lock};
use crate::tickets::TicketCheck;
use crate::{origin, pull};
use astral_proto::limits::UNKNOWN_KBPS;
use astral_proto::message::{Carried, Probed};
use astral_proto::model::Fault;
use astral_proto::{Code, NodeId, Problem, Slug, TicketId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most streams on one relay.
const STREAMS_MAX: usize = 4096;
/// A viewer waits this long for a stream that is not here yet.
pub const STREAM_WAIT: Duration = Duration::from_secs(5);
/// A stream that nothing feeds is forgotten after this long.
const FORGET: Duration = Duration::from_secs(60);

/// What a relay is told at its start.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Its id.
    pub node: NodeId,
    /// host:port that other relays pull from.
    pub advertise: String,
    /// Base URL for viewers, without a trailing slash.
    pub media_url: String,
    /// `rtmp://host:port/live` of its RTMP listener.
    pub rtmp_url: String,
    /// What it may spend upstream, kbit/s.
    pub limit_kbps: u32,
    /// Most bytes a stream may hold in its log.
    pub cache_bytes_max: usize,
    /// Base URL of the gateway, without a trailing slash: where viewers are sent when this relay is full.
    pub gateway_url: Option<String>,
}

/// How viewers that hold a connection are to leave a relay that leaves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// They stay.
    Not,
    /// When their GOP ends.
    AtGopEnd,
    /// When the frame in hand ends.
    AtOnce,
}

/// A running relay. Cheap to clone; all clones are the same relay.
#[derive(Clone)]
pub struct Relay {
    shared: Arc<Shared>,
}

struct Shared {
    config: RelayConfig,
    control: Arc<dyn ControlPlane>,
    streams: Mutex<HashMap<Slug, Arc<Stream>>>,
    tickets: Arc<TicketCheck>,
    gate: Gate,
    stopping: CancellationToken,
    tasks: TaskTracker,
    draining: AtomicBool,
    leaving: AtomicU8,
    last_sent_at: AtomicU64,
    generation: AtomicU32,
    distances: Distances,
}

impl Relay {
    /// A relay without streams, whose tasks run until `stopping` and are tracked by `tasks`.
    pub fn new(
        config: RelayConfig,
        control: Arc<dyn ControlPlane>,
        stopping: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let tickets = TicketCheck::new(config.node);
        let relay = Self {
            shared: Arc::new(Shared {
                config,
                control,
                streams: Mutex::default(),
                tickets,
                gate: Gate::new(),
                stopping,
                tasks,
                draining: AtomicBool::new(false),
                leaving: AtomicU8::new(Leaving::Not as u8),
                last_sent_at: AtomicU64::new(0),
                generation: AtomicU32::new(0),
                distances: Distances::default(),
            }),
        };
        relay.spawn(tidy(relay.clone()));
        relay
    }

    /// Its id.
    pub fn node(&self) -> NodeId {
        self.shared.config.node
    }

    /// What it was told at its start.
    pub fn config(&self) -> &RelayConfig {
        &self.shared.config
    }

    pub(crate) fn control(&self) -> &dyn ControlPlane {
        &*self.shared.control
    }

    pub(crate) fn tickets(&self) -> &Arc<TicketCheck> {
        &self.shared.tickets
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Cancelled when the relay stops.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Runs `task` as one of the relay's own, until the relay stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.shared.stopping.clone();
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// The stream, if it is here in any state.
    pub fn find(&self, slug: &Slug) -> Option<Arc<Stream>> {
        lock(&self.shared.streams).get(slug).cloned()
    }

    /// The stream, made if it is not here. Nothing feeds a new one yet.
    ///
    /// # Errors
    /// `unavailable` when the relay carries as many streams as it may.
    pub fn find_or_add(&self, slug: &Slug) -> Result<Arc<Stream>, Problem> {
        let mut streams = lock(&self.shared.streams);
        if let Some(stream) = streams.get(slug) {
            return Ok(stream.clone());
        }
        if streams.len() >= STREAMS_MAX {
            let detail = format!("this relay carries {STREAMS_MAX} streams already");
            return Err(Problem::new(Code::Unavailable, detail));
        }
        let stream = Arc::new(Stream::new(slug.clone(), self.shared.config.cache_bytes_max));
        streams.insert(slug.clone(), stream.clone());
        Ok(stream)
    }

    /// The stream, being pulled if it is not here.
    ///
    /// # Errors
    /// `unavailable` when draining, or when the relay carries as many streams as it may.
    pub fn want(&self, slug: &Slug) -> Result<Arc<Stream>, Problem> {
        if self.is_draining() {
            return Err(Problem::new(Code::Unavailable, "this relay is leaving"));
        }
        let stream = self.find_or_add(slug)?;
        stream.touch();
        if let Some(seat) = stream.take_free_seat() {
            stream.start_over();
            self.spawn(pull::run(self.clone(), stream.clone(), seat));
        }
        Ok(stream)
    }

    /// The stream with frames to show, waited for up to 5 s.
    ///
    /// # Errors
    /// What the control plane said (`not_found`), `unavailable` when nothing came in time, or as [`Relay::want`].
    pub async fn want_flowing(&self, slug: &Slug) -> Result<Arc<Stream>, Problem> {
        let stream = self.want(slug)?;
        let mut supply = stream.supply.subscribe();
        let ready = |supply: &Supply| !matches!(supply, Supply::Starting);
        let waited = tokio::time::timeout(STREAM_WAIT, supply.wait_for(ready)).await;
        let outcome = waited.ok().and_then(Result::ok).map(|supply| supply.clone());
        match outcome {
            Some(Supply::Refused(problem)) if stream.log.newest_entry().is_none() => Err(problem),
            Some(_) => Ok(stream),
            None if stream.log.has_ended() => Ok(stream),
            None => Err(Problem::new(Code::Unavailable, format!("stream {slug} has sent nothing yet"))),
        }
    }

    /// Whether the relay takes no new work.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// From now on the relay takes no new work.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// Whether a publisher, a viewer or another relay still holds a connection here.
    pub fn is_in_use(&self) -> bool {
        let publishes = |stream: &Stream| stream.origin().is_some_and(|origin| origin.has_publisher);
        self.streams().iter().any(|stream| stream.is_read() || publishes(stream))
    }

    /// Has every FLV and RTMP viewer leave, at the end of its GOP or at the end of a frame.
    pub fn leave(&self, leaving: Leaving) {
        self.shared.leaving.store(leaving as u8, Ordering::Release);
        self.streams().iter().for_each(|stream| stream.log.wake());
    }

    /// How viewers are to leave; each is woken when that changes.
    pub(crate) fn leaving(&self) -> Leaving {
        match self.shared.leaving.load(Ordering::Acquire) {
            0 => Leaving::Not,
            1 => Leaving::AtGopEnd,
            _ => Leaving::AtOnce,
        }
    }

    /// Whether one more reader of `stream` fits under the limit; a standby may go a quarter over it.
    pub fn has_room(&self, stream: &Stream, standby: bool) -> bool {
        let limit = u64::from(self.shared.config.limit_kbps);
        let limit = if standby { limit + limit / 4 } else { limit };
        let used: u64 = self.streams().iter().map(|stream| sent_kbps(stream)).sum();
        used + u64::from(charged_kbps(stream)) <= limit
    }

    /// How far this relay is with a stream.
    pub fn probe(&self, slug: &Slug) -> Probed {
        let stream = self.find(slug).filter(|stream| stream.is_carried());
        let publisher =
            stream.as_ref().and_then(|stream| stream.origin()).filter(|origin| origin.has_publisher);
        Probed {
            carried: stream.map(|stream| stream.carried()),
            publisher_silent_ms: publisher.map(|origin| origin.last_media.elapsed().as_millis() as u64),
        }
    }

    /// Another relay is origin at `epoch`: a lower epoch here gives way, and its readers are served on as a subscriber.
    pub fn fence(&self, slug: &Slug, epoch: u64) {
        let Some(stream) = self.find(slug) else { return };
        if stream.origin().is_some_and(|origin| origin.epoch < epoch) {
            tracing::info!(stream.slug = %slug, stream.epoch = epoch, "another relay is origin now");
            stream.set_origin(None);
            let seat = stream.take_seat(SeatKind::Pull);
            stream.log.end_open_gop();
            stream.touch();
            self.spawn(pull::run(self.clone(), stream, seat));
        }
    }

    /// Gets a stream for a child that wants it.
    ///
    /// # Errors
    /// As [`Relay::want_flowing`].
    pub async fn fetch(&self, slug: &Slug) -> Result<Carried, Problem> {
        let stream = self.want_flowing(slug).await?;
        Ok(stream.carried())
    }

    /// A ticket is no longer good.
    pub fn revoke(&self, id: TicketId) {
        self.shared.tickets.revoke(id);
    }

    /// Puts a fault on this relay's media sockets for a while.
    pub fn inject(&self, fault: Fault, duration: Duration) {
        tracing::warn!(drill.fault = ?fault, drill.seconds = duration.as_secs(), "drill");
        let gate = self.shared.gate.clone();
        self.spawn(async move { gate.inject(fault, duration).await });
    }

    /// Every stream here.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        lock(&self.shared.streams).values().cloned().collect()
    }

    fn forget_unused(&self) {
        lock(&self.shared.streams).retain(|slug, stream| {
            stream.forget_hls_players();
            if stream.fed_by() == Some(SeatKind::Pull) && stream.unused_for() > IDLE {
                tracing::info!(stream.slug = %slug, "nobody watches, let go");
                stream.unseat();
            }
            let keep = stream.fed_by().is_some() || stream.unused_for() < FORGET;
            let refused = matches!(&*stream.supply.borrow(), Supply::Refused(_));
            keep && !(refused && stream.fed_by().is_none() && stream.log.newest().is_none())
        });
    }
}

/// Lets go what nobody wants, once a second.
async fn tidy(relay: Relay) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        relay.forget_unused();
        origin::expire(&relay);
    }
}

/// What one reader of a stream is charged, kbit/s.
pub fn charged_kbps(stream: &Stream) -> u32 {
    match stream.log.kbps() {
        0 => UNKNOWN_KBPS,
        kbps => kbps,
    }
}

fn sent_kbps(stream: &Stream) -> u64 {
    let links = stream.count(crate::stream::ReaderKind::Link);
    u64::from(charged_kbps(stream)) * u64::from(links + stream.viewers().total())
}

/// Now, in Unix milliseconds.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
