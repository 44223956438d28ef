//! A running relay, and everything that its parts share.

use super::departure::Departure;
use super::membership_status::MembershipStatus;
use super::notices::Notices;
use super::stream::Stream;
use super::streams::Streams;
use crate::clock::ControlClock;
use crate::config::RelayConfig;
use crate::control::ControlPlane;
use crate::distances::Distances;
use crate::gate::Gate;
use crate::ticket_check::TicketCheck;
use astral_env::Env;
use astral_proto::{NodeId, Problem, Slug};
use astral_runtime::{LogThrottle, lock};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span};

/// A running relay. Cheap to clone; all clones are the same relay.
#[derive(Clone)]
pub struct Relay {
    shared: Arc<Shared>,
}

struct Shared {
    config: RelayConfig,
    control: Arc<dyn ControlPlane>,
    streams: Streams,
    ticket_check: Arc<TicketCheck>,
    gate: Gate,
    clock: ControlClock,
    distances: Distances,
    notices: Notices,
    departure: Departure,
    status: Mutex<MembershipStatus>,
    /// The generation of the broker's ledgers; 0 before it is known.
    generation: AtomicU32,
    last_sent_at: AtomicU64,
    limit_kbps: AtomicU32,
    promised_kbps: AtomicU32,
    gateway_url: Mutex<Option<String>>,
    /// Tells this process from others with the same node id.
    process: u32,
    /// Publishers that were refused, for the log.
    refusals: LogThrottle,
    stopping: CancellationToken,
    tasks: TaskTracker,
    /// The span that its log lines are in.
    span: Span,
}

impl Relay {
    /// A relay without streams. Nothing is spawned yet.
    pub fn new(
        config: RelayConfig,
        control: Arc<dyn ControlPlane>,
        stopping: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let shared = Shared {
            streams: Streams::new(config.cache_bytes_max),
            ticket_check: TicketCheck::new(config.node),
            gate: Gate::new(),
            clock: ControlClock::new(config.env.clone()),
            distances: Distances::default(),
            notices: Notices::default(),
            departure: Departure::new(),
            status: Mutex::default(),
            generation: AtomicU32::new(0),
            last_sent_at: AtomicU64::new(0),
            limit_kbps: AtomicU32::new(config.limit_kbps),
            promised_kbps: AtomicU32::new(0),
            gateway_url: Mutex::new(config.gateway_url.clone()),
            process: config.env.nonzero(),
            refusals: LogThrottle::new(),
            stopping,
            tasks,
            span: tracing::error_span!(parent: None, "relay", node.id = %config.node),
            config,
            control,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Its node id.
    pub fn node(&self) -> NodeId {
        self.shared.config.node
    }

    /// The number that tells this process from others with the same node id.
    pub(crate) fn process(&self) -> u32 {
        self.shared.process
    }

    /// The settings it was started with.
    pub fn config(&self) -> &RelayConfig {
        &self.shared.config
    }

    /// Its clock and its random source.
    pub(crate) fn env(&self) -> &Env {
        &self.shared.config.env
    }

    /// The time by the clock of this machine, Unix milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.env().now().get()
    }

    pub(crate) fn control(&self) -> &dyn ControlPlane {
        &*self.shared.control
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.shared.streams
    }

    /// The stream, in any state; None if this relay does not know it.
    pub(crate) fn find(&self, slug: &Slug) -> Option<Arc<Stream>> {
        self.shared.streams.find(slug)
    }

    pub(crate) fn ticket_check(&self) -> &Arc<TicketCheck> {
        &self.shared.ticket_check
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// The clock by which tickets expire.
    pub(crate) fn clock(&self) -> &ControlClock {
        &self.shared.clock
    }

    pub(crate) fn distances(&self) -> &Distances {
        &self.shared.distances
    }

    pub(crate) fn notices(&self) -> &Notices {
        &self.shared.notices
    }

    pub(crate) fn departure(&self) -> &Departure {
        &self.shared.departure
    }

    /// Publishers that were refused, for the log.
    pub(crate) fn refusals(&self) -> &LogThrottle {
        &self.shared.refusals
    }

    /// Cancelled when the relay stops.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Runs `task` until it ends or the relay stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.shared.stopping.clone();
        let task = async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = task => {}
            }
        };
        self.shared.tasks.spawn(self.named(task));
    }

    /// Adds the id of this relay to the log lines of `work`, because a process may run several
    /// relays.
    pub fn named<F: Future>(&self, work: F) -> Instrumented<F> {
        work.instrument(self.shared.span.clone())
    }

    /// As [`Relay::named`], for a request of the control plane. A request that is traced stays in
    /// its trace, because what the relay starts for it belongs there.
    pub async fn for_request<F: Future>(&self, work: F) -> F::Output {
        if Span::current().is_none() {
            self.named(work).await
        } else {
            work.await
        }
    }

    /// How it stands with the control plane.
    pub fn status(&self) -> MembershipStatus {
        lock(&self.shared.status).clone()
    }

    /// Changes how it stands with the control plane, and returns the result.
    pub(crate) fn update_status(
        &self,
        change: impl FnOnce(&mut MembershipStatus),
    ) -> MembershipStatus {
        let mut status = lock(&self.shared.status);
        change(&mut status);
        status.clone()
    }

    /// The generation of the broker's ledgers, by its last answer; 0 before the first.
    pub(crate) fn generation(&self) -> u32 {
        self.shared.generation.load(Ordering::Relaxed)
    }

    /// Takes the generation of an answer; true if it is a new one. 0 says nothing.
    pub(crate) fn set_generation(&self, generation: u32) -> bool {
        generation != 0 && self.shared.generation.swap(generation, Ordering::Relaxed) != generation
    }

    /// A time for the next statement, Unix milliseconds: `now`, or later than the statement before
    /// if the clock was set back, so that receivers can order statements.
    pub(crate) fn next_sent_at(&self, now: u64) -> u64 {
        let last_sent_at = &self.shared.last_sent_at;
        let last = last_sent_at.fetch_max(now, Ordering::Relaxed);
        if last < now {
            now
        } else {
            last_sent_at.fetch_add(1, Ordering::Relaxed) + 1
        }
    }

    /// What it may send, kbit/s.
    pub fn limit_kbps(&self) -> u32 {
        self.shared.limit_kbps.load(Ordering::Relaxed)
    }

    /// Changes what it may send, kbit/s. What is promised already is still served; the next
    /// heartbeat tells the broker.
    pub fn set_limit_kbps(&self, limit_kbps: u32) {
        self.shared.limit_kbps.store(limit_kbps, Ordering::Relaxed);
    }

    /// What it has promised to other relays by tickets, by the broker's last answer, kbit/s.
    pub(crate) fn promised_kbps(&self) -> u32 {
        self.shared.promised_kbps.load(Ordering::Relaxed)
    }

    pub(crate) fn set_promised_kbps(&self, promised_kbps: u32) {
        self.shared
            .promised_kbps
            .store(promised_kbps, Ordering::Relaxed);
    }

    /// The gateway that viewers are sent to while this relay is full, if one is known.
    pub(crate) fn gateway_url(&self) -> Option<String> {
        lock(&self.shared.gateway_url).clone()
    }

    /// Changes the gateway that viewers are sent to while this relay is full: its base URL, without
    /// a trailing slash.
    pub fn set_gateway_url(&self, url: &str) {
        *lock(&self.shared.gateway_url) = Some(url.to_owned());
    }

    /// Whether one more link of `stream` fits under the limit. A standby ticket may go a quarter
    /// over it, because after a failure many subscribers switch at once.
    pub(crate) fn has_room_for_link(&self, stream: &Stream, standby: bool) -> bool {
        let limit = u64::from(self.limit_kbps());
        let limit = if standby { limit + limit / 4 } else { limit };
        self.sent_kbps() + needed_kbps(stream) <= limit
    }

    /// Checks that one more viewer of `stream` fits under the limit, beside the HLS players that
    /// were admitted just now.
    ///
    /// # Errors
    /// `full`.
    pub(crate) fn check_room_for_viewer(&self, stream: &Stream) -> Result<(), Problem> {
        let streams = self.shared.streams.all();
        let awaited = streams
            .iter()
            .map(|stream| stream.readers.awaited_kbps(stream.whole_kbps()));
        let used = self.sent_kbps() + awaited.sum::<u64>();
        if used + needed_kbps(stream) > u64::from(self.limit_kbps()) {
            let detail = "this relay has no room for another viewer";
            return Err(Problem::new(astral_proto::Code::Full, detail));
        }
        Ok(())
    }

    /// What it sends, kbit/s.
    fn sent_kbps(&self) -> u64 {
        let streams = self.shared.streams.all();
        let sent = streams.iter().map(|stream| {
            let whole_kbps = stream.whole_kbps();
            stream.readers.viewers_kbps(whole_kbps) + stream.readers.links_kbps(whole_kbps)
        });
        sent.sum()
    }
}

/// What one more reader of `stream` takes, kbit/s: at least 1, because an empty stream will not
/// stay empty.
fn needed_kbps(stream: &Stream) -> u64 {
    u64::from(stream.whole_kbps().max(1))
}
