//! A relay of the model: it registers, sends heartbeats, gets tickets and follows them as a relay does, without media.

use crate::links::{Links, STREAM_KBPS};
use astral_backend::{Bus, unix_millis};
use astral_proto::limits::{HEARTBEAT_INTERVAL, UPSTREAM_LOST};
use astral_proto::message::{
    Carried, ConfirmTicket, GoLive, Heartbeat, HeartbeatReply, HeldTicket, Offer, OriginState,
    Register, Replacement, Request, RequestTicket, ServedTicket, SwitchTicket, Tickets,
};
use astral_proto::model::{Role, Viewers};
use astral_proto::{
    FrameId, Incarnation, Kbps, Micros, NodeId, Problem, Slug, TicketId, UnixMillis,
};
use astral_relay::{Failover, STANDBY_RETRY};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long a control service may take.
const WAIT: Duration = Duration::from_secs(6);
/// First wait between two tries to register.
const REGISTER_RETRY: Duration = Duration::from_millis(250);
/// GOPs of the stream.
const GOP: Duration = Duration::from_secs(2);
/// How long it takes to open a link.
const OPENS_AFTER: Duration = Duration::from_millis(30);

/// What all relays share.
#[derive(Clone)]
pub struct Network {
    /// How they reach the control services.
    pub bus: Bus,
    /// How they reach each other.
    pub links: Links,
    /// The one stream.
    pub slug: Slug,
    /// What is counted.
    pub counts: Arc<Counts>,
}

/// What is counted over all relays.
#[derive(Default)]
pub struct Counts {
    /// Requests for tickets.
    pub requests: AtomicU64,
    /// Links that were moved to a better place.
    pub moves: AtomicU64,
}

/// What a relay is, whatever process it runs in.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its id.
    pub node: NodeId,
    /// The role it asks for.
    pub role: Role,
    /// What it may send, kbit/s.
    pub limit_kbps: u32,
    /// Round trips to supernodes, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
}

/// One process of a relay. Cheap to clone.
#[derive(Clone)]
pub struct ModelRelay {
    pub(crate) profile: Profile,
    pub(crate) network: Network,
    pub(crate) process: u32,
    pub(crate) state: Arc<State>,
}

/// What a relay remembers.
pub(crate) struct State {
    tickets: Mutex<Held>,
    random: Mutex<StdRng>,
    link_ended: Arc<Notify>,
    /// Notified when it is to go over to its standby, which is better.
    pub(crate) told_to_move: Notify,
    /// Notified when somebody wants the stream here.
    pub(crate) wanted: Notify,
    pub(crate) stopping: CancellationToken,
}

/// The tickets of a relay.
#[derive(Default)]
struct Held {
    active: Option<Offer>,
    standby: Option<Offer>,
    generation: u32,
    publishes: Option<OriginOf>,
    sent_at: u64,
}

/// What an origin was granted.
#[derive(Clone, Copy)]
struct OriginOf {
    incarnation: Incarnation,
    epoch: u64,
    since: Instant,
}

impl ModelRelay {
    /// Starts a process, which registers and keeps its lease.
    pub async fn start(profile: Profile, network: Network, process: u32, seed: u64) -> Self {
        let state = State {
            tickets: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            link_ended: network.links.join(profile.node),
            told_to_move: Notify::new(),
            wanted: Notify::new(),
            stopping: CancellationToken::new(),
        };
        let relay = Self {
            profile,
            network,
            process,
            state: Arc::new(state),
        };
        relay.answer_requests().await;
        relay.spawn(relay.clone().keep_lease());
        relay.spawn(relay.clone().pull());
        relay
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.state.stopping.clone();
        tokio::spawn(async move { stopping.run_until_cancelled(task).await });
    }

    /// Dies without a goodbye.
    pub fn kill(&self) {
        self.state.stopping.cancel();
        self.network.links.die(self.profile.node);
    }

    /// Somebody wants the stream here from now on.
    pub fn want(&self) {
        self.state.wanted.notify_one();
    }

    /// Becomes origin of the stream.
    ///
    /// # Errors
    /// The directory's.
    pub async fn publish(&self) -> Result<(), Problem> {
        let grant = self
            .ask(&GoLive {
                slug: self.network.slug.clone(),
                key: None,
                node: self.profile.node,
                newest: None,
                newest_dts: None,
                incarnation: Incarnation::default(),
                epoch: 0,
            })
            .await?;
        self.held().publishes = Some(OriginOf {
            incarnation: grant.incarnation,
            epoch: grant.epoch,
            since: Instant::now(),
        });
        self.network.links.publish(self.profile.node);
        Ok(())
    }

    async fn ask<R: Request>(&self, request: &R) -> Result<R::Reply, Problem> {
        self.network.bus.request(request, WAIT).await
    }

    async fn keep_lease(self) {
        let mut is_known = false;
        loop {
            let pause = if is_known {
                HEARTBEAT_INTERVAL.mul_f64(self.draw(0.8, 1.0))
            } else {
                REGISTER_RETRY
            };
            sleep(pause).await;
            is_known = match is_known {
                true => self.beat().await,
                false => self.register().await,
            };
        }
    }

    /// Registers; whether it is known now.
    async fn register(&self) -> bool {
        let Profile {
            node,
            role,
            limit_kbps,
            rtts,
        } = self.profile.clone();
        let address = format!("{node}:8081");
        let register = Register {
            node,
            name: String::new(),
            role,
            media_url: format!("http://{address}"),
            rtmp_url: format!("rtmp://{address}/live"),
            advertise: address,
            limit_kbps: Kbps::new(limit_kbps),
            rtts,
            process: self.process,
            sent_at: unix_millis(),
        };
        let registered = self.ask(&register).await;
        registered.is_ok_and(|registered| {
            self.held().generation = registered.generation;
            true
        })
    }

    /// Sends a heartbeat; whether it is still known.
    async fn beat(&self) -> bool {
        match self.ask(&self.statement()).await {
            Ok(reply) => {
                self.apply(&reply);
                !reply.register
            }
            Err(_) => true,
        }
    }

    fn apply(&self, reply: &HeartbeatReply) {
        if reply.tickets.generation != 0 {
            self.held().generation = reply.tickets.generation;
        }
        for lost in &reply.tickets.lost {
            self.lose(*lost);
        }
        self.replace(&reply.tickets.replaced);
    }

    fn lose(&self, lost: TicketId) {
        let mut held = self.held();
        if is(held.standby.as_ref(), lost) {
            held.standby = None;
        }
        if is(held.active.as_ref(), lost) {
            self.network.links.leave(self.profile.node);
            self.state.link_ended.notify_one();
        }
    }

    /// Keeps better tickets in place of those it has, and goes over to one at once if it replaces the one in use.
    pub(crate) fn replace(&self, replaced: &[Replacement]) {
        for Replacement { left, by } in replaced {
            let mut held = self.held();
            if is(held.active.as_ref(), *left) {
                held.standby = Some(by.clone());
                self.state.told_to_move.notify_one();
            } else if is(held.standby.as_ref(), *left) {
                held.standby = Some(by.clone());
            }
        }
    }

    /// What it says of itself.
    fn statement(&self) -> Heartbeat {
        let links = &self.network.links;
        let serves = links.served_by(self.profile.node);
        let serves = serves.into_iter().map(|(id, subscriber)| ServedTicket {
            id,
            slug: self.network.slug.clone(),
            subscriber,
            kbps: Kbps::new(STREAM_KBPS),
        });
        let carried = self.carried();
        let flows = carried.is_some();
        let mut held = self.held();
        let ticket = |offer: &Offer, standby| HeldTicket {
            id: offer.id,
            slug: self.network.slug.clone(),
            provider: offer.provider,
            standby,
            flows: flows && !standby,
        };
        let active = held.active.as_ref().map(|offer| ticket(offer, false));
        let standby = held.standby.as_ref().map(|offer| ticket(offer, true));
        held.sent_at = (unix_millis().max(UnixMillis::new(held.sent_at + 1))).get();
        Heartbeat {
            node: self.profile.node,
            draining: false,
            limit_kbps: Kbps::new(self.profile.limit_kbps),
            viewer_kbps: Kbps::new(0),
            streams: carried.into_iter().collect(),
            serves: serves.collect(),
            holds: active.into_iter().chain(standby).collect(),
            rtts: self.profile.rtts.clone(),
            generation: held.generation,
            sent_at: UnixMillis::new(held.sent_at),
            notices: vec![],
            process: self.process,
        }
    }

    /// The stream as it is here; None if there are no frames.
    pub(crate) fn carried(&self) -> Option<Carried> {
        let path = self.network.links.path(self.profile.node)?;
        let held = self.held();
        let origin = held.publishes;
        let gop = origin.map_or(0, |origin| {
            origin.since.elapsed().as_millis() as u64 / GOP.as_millis() as u64
        });
        let newest = FrameId::new(gop, 0);
        Some(Carried {
            slug: self.network.slug.clone(),
            incarnation: origin.map(|origin| origin.incarnation).unwrap_or_default(),
            epoch: origin.map_or(1, |origin| origin.epoch),
            path,
            standby: held.standby.as_ref().map(|standby| standby.provider),
            newest: Some(newest),
            kbps: Kbps::new(STREAM_KBPS),
            viewers: Viewers::default(),
            origin: origin.map(|_| OriginState {
                newest,
                newest_dts: Micros::new(gop * GOP.as_micros() as u64),
                discontinuity: 0,
                target_duration_seconds: Some(4),
                silent_ms: 0,
            }),
            progress: None,
        })
    }

    /// Has the stream for as long as it runs, once somebody wants it here.
    async fn pull(self) {
        self.state.wanted.notified().await;
        let mut failover = Failover::default();
        let mut left = Vec::new();
        loop {
            match self.request(&failover, std::mem::take(&mut left)).await {
                Ok(tickets) => left = self.follow(tickets, &mut failover).await,
                Err(_) => {
                    let wait = failover.no_ticket(&mut *self.random());
                    sleep(wait).await;
                }
            }
        }
    }

    async fn request(&self, failover: &Failover, left: Vec<TicketId>) -> Result<Tickets, Problem> {
        self.network.counts.requests.fetch_add(1, Ordering::Relaxed);
        self.ask(&RequestTicket {
            slug: self.network.slug.clone(),
            subscriber: self.profile.node,
            exclude: failover.excluded().to_vec(),
            left,
        })
        .await
    }

    /// Follows a ticket and then one standby after the other; the tickets that are of no use any more.
    async fn follow(&self, tickets: Tickets, failover: &mut Failover) -> Vec<TicketId> {
        let mut active = tickets.active;
        let mut left = None;
        self.held().standby = tickets.standby;
        loop {
            self.held().active = Some(active.clone());
            sleep(OPENS_AFTER).await;
            if self.network.links.open(&active, self.profile.node) {
                failover.settled();
                self.settle(&active, left).await;
                if self.stays(&active).await == Parted::Moves {
                    self.network.counts.moves.fetch_add(1, Ordering::Relaxed);
                }
            }
            failover.exclude(active.provider);
            let mut held = self.held();
            held.active = None;
            let Some(standby) = held.standby.take() else {
                return left.into_iter().chain([active.id]).collect();
            };
            left = Some(std::mem::replace(&mut active, standby).id);
        }
    }

    /// Tells the broker which ticket is in use.
    async fn settle(&self, active: &Offer, left: Option<TicketId>) {
        if left.is_none() {
            // What it misses, the next heartbeat says.
            let confirm = ConfirmTicket {
                id: active.id,
                subscriber: self.profile.node,
            };
            drop(self.ask(&confirm).await);
        }
        if left.is_some() || self.held().standby.is_none() {
            self.ask_for_standby(active, left).await;
        }
    }

    async fn ask_for_standby(&self, active: &Offer, left: Option<TicketId>) {
        let switch = SwitchTicket {
            slug: self.network.slug.clone(),
            subscriber: self.profile.node,
            active: active.id,
            left,
        };
        if let Ok(answer) = self.ask(&switch).await {
            self.held().standby = answer.standby;
        }
    }

    /// Waits until the link is over.
    async fn stays(&self, active: &Offer) -> Parted {
        let mut dry_since: Option<Instant> = None;
        let mut asked = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.state.link_ended.notified() => return Parted::Failed,
                () = self.state.told_to_move.notified() => return Parted::Moves,
                () = sleep(UPSTREAM_LOST / 2) => {}
            }
            if self.network.links.path(active.provider).is_some() {
                dry_since = None;
            } else if dry_since.get_or_insert_with(Instant::now).elapsed() >= UPSTREAM_LOST {
                self.network.links.leave(self.profile.node);
                return Parted::Failed;
            }
            if self.held().standby.is_none() && asked.elapsed() >= STANDBY_RETRY {
                asked = Instant::now();
                self.ask_for_standby(active, None).await;
            }
        }
    }

    fn draw(&self, from: f64, until: f64) -> f64 {
        self.random().random_range(from..until)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.state
            .tickets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn random(&self) -> MutexGuard<'_, StdRng> {
        self.state
            .random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a link is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parted {
    /// It ended, or its provider had nothing.
    Failed,
    /// There is a better one.
    Moves,
}

fn is(held: Option<&Offer>, id: TicketId) -> bool {
    held.is_some_and(|held| held.id == id)
}
