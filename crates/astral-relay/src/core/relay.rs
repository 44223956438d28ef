//! A running relay: its streams, its tickets, its capacity, and what the control plane may ask of it.

use super::notices::Notices;
use super::seat::{Seat, SeatKind};
use super::stream::{IDLE, Stream, Supply};
use crate::clock::Clock;
use crate::config::RelayConfig;
use crate::control::ControlPlane;
use crate::distances::Distances;
use crate::feed::{origin, pull};
use crate::gate::Gate;
use crate::node::{Leaving, Standing};
use crate::observe::{self, Episode};
use crate::sync::lock;
use crate::ticket_check::TicketCheck;
use astral_proto::{Code, NodeId, Problem, Slug};
use astral_runtime::LogThrottle;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span};

/// Most streams on one relay.
const STREAMS_MAX: usize = 4096;
/// A viewer waits this long for a stream that is not here yet.
pub const STREAM_WAIT: Duration = Duration::from_secs(5);
/// A stream that nothing feeds is forgotten after this long.
const FORGET: Duration = Duration::from_secs(60);

/// A running relay. Cheap to clone; all clones are the same relay.
#[derive(Clone)]
pub struct Relay {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: RelayConfig,
    pub(crate) control: Arc<dyn ControlPlane>,
    pub(crate) streams: Mutex<HashMap<Slug, Arc<Stream>>>,
    pub(crate) tickets: Arc<TicketCheck>,
    pub(crate) gate: Gate,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) draining: CancellationToken,
    pub(crate) hls_connections: AtomicU32,
    pub(crate) leaving: AtomicU8,
    pub(crate) last_sent_at: AtomicU64,
    pub(crate) generation: AtomicU32,
    pub(crate) promised_kbps: AtomicU32,
    pub(crate) limit_kbps: AtomicU32,
    pub(crate) gateway_url: Mutex<Option<String>>,
    pub(crate) standing: Mutex<Standing>,
    pub(crate) notices: Mutex<Notices>,
    pub(crate) distances: Distances,
    /// The number by which this process is told from others with the same id.
    pub(crate) process: u32,
    /// Publishers that were refused, for the log.
    pub(crate) refusals: LogThrottle,
    /// The clock that tickets end by.
    pub(crate) clock: Clock,
    /// What its log lines are in.
    pub(crate) span: Span,
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
        let span = tracing::error_span!(parent: None, "relay", node.id = %config.node);
        let limit_kbps = AtomicU32::new(config.limit_kbps);
        let gateway_url = Mutex::new(config.gateway_url.clone());
        let relay = Self {
            shared: Arc::new(Shared {
                config,
                control,
                streams: Mutex::default(),
                tickets,
                gate: Gate::new(),
                stopping,
                tasks,
                draining: CancellationToken::new(),
                hls_connections: AtomicU32::new(0),
                leaving: AtomicU8::new(Leaving::Not as u8),
                last_sent_at: AtomicU64::new(0),
                generation: AtomicU32::new(0),
                promised_kbps: AtomicU32::new(0),
                limit_kbps,
                gateway_url,
                standing: Mutex::default(),
                notices: Mutex::default(),
                distances: Distances::default(),
                process: rand::random_range(1..=u32::MAX),
                refusals: LogThrottle::new(),
                clock: Clock::default(),
                span,
            }),
        };
        observe::begin();
        relay.spawn(tidy(relay.clone()));
        relay
    }

    /// Its id.
    pub fn node(&self) -> NodeId {
        self.shared.config.node
    }

    /// The number by which this process is told from others with the same id.
    pub(crate) fn process(&self) -> u32 {
        self.shared.process
    }

    /// Publishers that were refused, for the log.
    pub(crate) fn refusals(&self) -> &LogThrottle {
        &self.shared.refusals
    }

    /// Unix milliseconds by the clock that tickets end by: that of the control plane, once it has told it.
    pub(crate) fn control_now(&self) -> u64 {
        self.shared.clock.now()
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
        let task = async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = task => {}
            }
        };
        self.shared.tasks.spawn(self.named(task));
    }

    /// `work`, whose log lines name this relay: a process may run several. The span is there at every level that is
    /// logged.
    pub fn named<F: Future>(&self, work: F) -> Instrumented<F> {
        work.instrument(self.shared.span.clone())
    }

    /// Runs `work` for a request from the control plane: as [`Relay::named`], but a request that is traced stays in its
    /// trace, since what the relay starts for it belongs there.
    pub async fn for_request<F: Future>(&self, work: F) -> F::Output {
        if Span::current().is_none() {
            self.named(work).await
        } else {
            work.await
        }
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
        let stream = Arc::new(Stream::new(
            slug.clone(),
            self.shared.config.cache_bytes_max,
        ));
        streams.insert(slug.clone(), stream.clone());
        Ok(stream)
    }

    /// The stream, being pulled if it is not here.
    ///
    /// # Errors
    /// `unavailable` when draining, when its host keeps it out, or when the relay carries as many streams as it may.
    pub fn want(&self, slug: &Slug) -> Result<Arc<Stream>, Problem> {
        if self.is_draining() {
            return Err(Problem::new(Code::Unavailable, "this relay is leaving"));
        }
        let stream = self.find_or_add(slug)?;
        stream.refuse_kept_out()?;
        stream.touch();
        if let Some(seat) = stream.take_free_seat() {
            stream.start_over();
            self.pull(stream.clone(), seat);
        }
        Ok(stream)
    }

    /// Pulls `stream`, as part of what is traced at this moment.
    pub(crate) fn pull(&self, stream: Arc<Stream>, seat: Seat) {
        let episode = Episode::join(self, &stream.slug);
        self.spawn(pull::run(self.clone(), stream, seat, episode));
    }

    /// The stream with frames to show, waited for up to 5 s.
    ///
    /// # Errors
    /// What the control plane said (`not_found`, or `not_begun` while nobody publishes it); when nothing came in time,
    /// `full`, `control_plane_away` or `unavailable`, by what is missing; or as [`Relay::want`].
    pub async fn want_flowing(&self, slug: &Slug) -> Result<Arc<Stream>, Problem> {
        let stream = self.want(slug)?;
        let mut supply = stream.supply.subscribe();
        let ready = |supply: &Supply| !matches!(supply, Supply::Starting);
        let waited = tokio::time::timeout(STREAM_WAIT, supply.wait_for(ready)).await;
        let outcome = waited
            .ok()
            .and_then(Result::ok)
            .map(|supply| supply.clone());
        match outcome {
            Some(Supply::Refused(problem)) if stream.log.newest_entry().is_none() => {
                Err(if problem.code == Code::Gone {
                    stream.has_ended_problem()
                } else {
                    problem
                })
            }
            Some(_) => Ok(stream),
            None if stream.log.has_ended() => Ok(stream),
            None => Err(stream.why_nothing()),
        }
    }

    /// Whether one more link of `stream` fits under the limit; by a standby ticket it may go a quarter over it.
    pub fn has_room(&self, stream: &Stream, standby: bool) -> bool {
        let limit = u64::from(self.limit_kbps());
        let limit = if standby { limit + limit / 4 } else { limit };
        self.sent_kbps() + needed_kbps(stream) <= limit
    }

    /// Whether one more viewer of `stream` fits under the limit, beside those that were let in just now.
    pub fn has_room_for_viewer(&self, stream: &Stream) -> bool {
        let awaited: u64 = self
            .streams()
            .iter()
            .map(|stream| stream.awaited_kbps())
            .sum();
        self.sent_kbps() + awaited + needed_kbps(stream) <= u64::from(self.limit_kbps())
    }

    /// What is sent of all streams, kbit/s.
    fn sent_kbps(&self) -> u64 {
        self.streams()
            .iter()
            .map(|stream| stream.viewers_kbps() + stream.links_kbps())
            .sum()
    }

    /// Every stream here.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        lock(&self.shared.streams).values().cloned().collect()
    }

    fn forget_unused(&self) {
        lock(&self.shared.streams).retain(|slug, stream| {
            stream.tidy_readers();
            if stream.fed_by() == Some(SeatKind::Pull) && stream.unused_for() > IDLE {
                tracing::info!(stream.slug = %slug, "nobody watches, let go");
                stream.unseat();
            }
            let refused = matches!(&*stream.supply.borrow(), Supply::Refused(_));
            let is_empty = refused && stream.log.newest().is_none();
            let may_be_wanted = stream.unused_for() < FORGET && !is_empty;
            stream.fed_by().is_some() || stream.is_kept_out() || may_be_wanted
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
        observe::tell(&relay);
    }
}

/// What one more reader of `stream` takes, kbit/s. Of one that nothing is here of, only that it will be something.
fn needed_kbps(stream: &Stream) -> u64 {
    u64::from(stream.whole_kbps().max(1))
}
