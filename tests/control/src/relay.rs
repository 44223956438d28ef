//! A relay without media: it registers, beats, answers probes and fetches, and pulls by ticket.

mod heartbeat;

use crate::Control;
use astral_backend::{Backend, unix_millis};
use astral_proto::message::{
    Carried, ConfirmTicket, Fence, Fetch, Fetched, GoLive, Grant, Move, Offer, OriginState, Probe,
    Probed, Register, Registered, RequestTicket, Revoke, ServedTicket, SwitchTicket, Tickets,
};
use astral_proto::model::{Role, Viewers};
use astral_proto::{
    Code, EpochId, FrameId, Kbps, Micros, NodeId, Problem, Slug, TicketId, UnixMillis,
};
use astral_runtime::TaskScope;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const WITHIN: Duration = Duration::from_secs(10);
/// The number of the next process.
static PROCESSES: AtomicU32 = AtomicU32::new(1);

/// A relay that can be asked, watched and killed.
#[derive(Clone)]
pub struct Relay {
    /// Its id.
    pub id: NodeId,
    backend: Backend,
    alive: TaskScope,
    links: Links,
    memory: Arc<Mutex<Memory>>,
    process: u32,
}

/// Open links, each by its ticket, under the relay that serves it.
pub(crate) type Links = Arc<Mutex<BTreeMap<NodeId, BTreeMap<TicketId, ServedTicket>>>>;

#[derive(Default)]
struct Memory {
    role: Option<Role>,
    limit_kbps: Kbps,
    primary: Option<NodeId>,
    carried: BTreeMap<Slug, Carried>,
    media_at: Option<UnixMillis>,
    held: BTreeMap<Slug, Tickets>,
    fenced: Vec<Fence>,
    revoked: Vec<TicketId>,
    viewers: Viewers,
    draining: bool,
    kbps: Kbps,
    generation: u32,
    rtts: Vec<(NodeId, u32)>,
    lost: Vec<TicketId>,
}

impl Memory {
    /// Streams are told with how long their publisher has been silent.
    fn as_of_now(&self, carried: &Carried) -> Carried {
        let silent_ms = self
            .media_at
            .map_or(0, |at| unix_millis().since(at).as_millis() as u64);
        let origin = carried.origin.map(|origin| OriginState {
            silent_ms,
            ..origin
        });
        Carried {
            viewers: self.viewers,
            kbps: self.kbps,
            origin,
            ..carried.clone()
        }
    }
}

impl Relay {
    /// A relay that has registered and beats.
    ///
    /// # Errors
    /// The coordinator's.
    pub async fn join(control: &Control, role: Role, limit_kbps: u32) -> Result<Self, Problem> {
        let relay = Self::absent(control, role, limit_kbps);
        relay.serve().await?;
        relay.register(&format!("{}:8081", relay.id)).await?;
        let beating = relay.clone();
        relay.alive.tasks.spawn(async move {
            let stopping = beating.alive.stopping.clone();
            stopping.run_until_cancelled(beating.beat_for_ever()).await;
        });
        relay.beat().await?;
        Ok(relay)
    }

    /// A relay that has not been heard of.
    pub fn absent(control: &Control, role: Role, limit_kbps: u32) -> Self {
        let memory = Memory {
            role: Some(role),
            limit_kbps: Kbps::new(limit_kbps),
            kbps: Kbps::new(2_500),
            ..Memory::default()
        };
        let alive = TaskScope {
            stopping: CancellationToken::new(),
            tasks: control.serving.tasks.clone(),
        };
        let backend = control.backend.clone();
        let memory = Arc::new(Mutex::new(memory));
        let process = PROCESSES.fetch_add(1, Ordering::Relaxed);
        Self {
            id: NodeId::random(),
            backend,
            alive,
            links: control.links.clone(),
            memory,
            process,
        }
    }

    /// Another process that says that it is this node, and has not been heard of.
    pub fn twin(&self) -> Self {
        let process = PROCESSES.fetch_add(1, Ordering::Relaxed);
        let (role, limit_kbps) = {
            let memory = self.memory();
            (memory.role, memory.limit_kbps)
        };
        let memory = Arc::new(Mutex::new(Memory {
            role,
            limit_kbps,
            ..Memory::default()
        }));
        let alive = TaskScope {
            stopping: CancellationToken::new(),
            tasks: self.alive.tasks.clone(),
        };
        Self {
            process,
            memory,
            alive,
            ..self.clone()
        }
    }

    /// Registers at `address`.
    ///
    /// # Errors
    /// The coordinator's.
    pub async fn register(&self, address: &str) -> Result<Registered, Problem> {
        let (role, limit_kbps) = {
            let memory = self.memory();
            (memory.role.unwrap_or(Role::Auto), memory.limit_kbps)
        };
        let register = Register {
            node: self.id,
            name: String::new(),
            role,
            media_url: format!("http://{address}"),
            rtmp_url: format!("rtmp://{address}/live"),
            advertise: address.into(),
            limit_kbps,
            rtts: self.memory().rtts.clone(),
            process: self.process,
            sent_at: unix_millis(),
        };
        let registered = self.backend.bus.request(&register, WITHIN).await?;
        let mut memory = self.memory();
        memory.primary = registered.primary_supernode;
        memory.generation = registered.generation;
        drop(memory);
        Ok(registered)
    }

    /// Falls silent as by `kill -9`: its links close.
    pub fn kill(&self) {
        self.alive.stopping.cancel();
        self.links().remove(&self.id);
        let held: Vec<TicketId> = self
            .memory()
            .held
            .values()
            .map(|held| held.active.id)
            .collect();
        held.into_iter().for_each(|id| self.close(id));
    }

    /// Carries a stream no longer.
    pub fn let_go(&self, slug: &Slug) {
        let mut memory = self.memory();
        memory.carried.remove(slug);
        let left = memory.held.remove(slug);
        drop(memory);
        left.into_iter().for_each(|held| self.close(held.active.id));
    }

    /// Takes no new work from now on.
    pub fn drain(&self) {
        self.memory().draining = true;
    }

    /// Has measured these round trips, microseconds.
    pub fn measured(&self, rtts: Vec<(NodeId, u32)>) {
        self.memory().rtts = rtts;
    }

    /// Has every stream at this bitrate from now on.
    pub fn measures(&self, kbps: u32) {
        self.memory().kbps = Kbps::new(kbps);
    }

    /// The tickets by which it serves open links.
    pub fn serves(&self) -> Vec<TicketId> {
        self.links()
            .get(&self.id)
            .map(|served| served.keys().copied().collect())
            .unwrap_or_default()
    }

    /// The tickets that it was told are lost.
    pub fn lost(&self) -> Vec<TicketId> {
        self.memory().lost.clone()
    }

    /// Becomes origin of a stream, if the directory lets it, and has its first frame.
    ///
    /// # Errors
    /// The directory's.
    pub async fn go_live(&self, slug: &Slug, key: Option<&str>) -> Result<Grant, Problem> {
        let held = self.memory().carried.get(slug).cloned();
        let ask = GoLive {
            slug: slug.clone(),
            key: key.map(Into::into),
            node: self.id,
            newest: held.as_ref().and_then(|carried| carried.newest),
            newest_dts: None,
            incarnation: held
                .as_ref()
                .map(|carried| carried.incarnation)
                .unwrap_or_default(),
            epoch: held.map_or(0, |carried| carried.epoch),
        };
        let grant = self.backend.bus.request(&ask, WITHIN).await?;
        let origin = OriginState {
            newest: FrameId::new(grant.first_gop, 0),
            newest_dts: grant.first_dts,
            discontinuity: grant.discontinuity,
            target_duration_seconds: Some(4),
            silent_ms: 0,
        };
        let epoch = EpochId {
            incarnation: grant.incarnation,
            epoch: grant.epoch,
        };
        let mut carried = carried(slug, epoch, vec![self.id]);
        carried.origin = Some(origin);
        carried.newest = Some(origin.newest);
        self.memory().carried.insert(slug.clone(), carried);
        self.memory().media_at = Some(unix_millis());
        Ok(grant)
    }

    /// Its publisher sends frames up to GOP `gop`.
    pub fn publish(&self, slug: &Slug, gop: u64) {
        let mut memory = self.memory();
        memory.media_at = Some(unix_millis());
        let Some(carried) = memory.carried.get_mut(slug) else {
            return;
        };
        carried.newest = Some(FrameId::new(gop, 0));
        if let Some(origin) = &mut carried.origin {
            origin.newest = FrameId::new(gop, 0);
            origin.newest_dts += Micros::from_secs(1);
        }
    }

    /// Has these viewers on every stream it carries from now on.
    pub fn watched_by(&self, viewers: Viewers) {
        self.memory().viewers = viewers;
    }

    /// Gets a ticket for a stream and opens its link by it.
    ///
    /// # Errors
    /// The broker's.
    pub async fn pull(&self, slug: &Slug, exclude: &[NodeId]) -> Result<Tickets, Problem> {
        let exclude = exclude.to_vec();
        let left = vec![];
        let ask = RequestTicket {
            slug: slug.clone(),
            subscriber: self.id,
            exclude,
            left,
        };
        let tickets = self.backend.bus.request(&ask, WITHIN).await?;
        self.open(slug, &tickets.active).await?;
        let confirm = ConfirmTicket {
            id: tickets.active.id,
            subscriber: self.id,
        };
        self.backend.bus.request(&confirm, WITHIN).await?;
        self.memory().held.insert(slug.clone(), tickets.clone());
        Ok(tickets)
    }

    /// Fails over to its standby and tells the broker.
    ///
    /// # Errors
    /// The broker's.
    pub async fn fail_over(&self, slug: &Slug) -> Result<Tickets, Problem> {
        let held = self.memory().held.get(slug).cloned();
        let absent = || Problem::new(Code::NotFound, "no standby is held");
        let (left, active) = held
            .and_then(|held| Some((held.active, held.standby?)))
            .ok_or_else(absent)?;
        self.close(left.id);
        self.open(slug, &active).await?;
        let switch = SwitchTicket {
            slug: slug.clone(),
            subscriber: self.id,
            active: active.id,
            left: Some(left.id),
        };
        let standby = self.backend.bus.request(&switch, WITHIN).await?.standby;
        let tickets = Tickets { active, standby };
        self.memory().held.insert(slug.clone(), tickets.clone());
        Ok(tickets)
    }

    /// The relays that a stream has come through to here.
    pub fn path(&self, slug: &Slug) -> Vec<NodeId> {
        self.memory()
            .carried
            .get(slug)
            .map(|carried| carried.path.clone())
            .unwrap_or_default()
    }

    /// The tickets it holds for a stream.
    pub fn tickets(&self, slug: &Slug) -> Option<Tickets> {
        self.memory().held.get(slug).cloned()
    }

    /// Its primary supernode, as last told.
    pub fn primary(&self) -> Option<NodeId> {
        self.memory().primary
    }

    /// The fences it was sent.
    pub fn fenced(&self) -> Vec<Fence> {
        self.memory().fenced.clone()
    }

    /// The revocations it was sent.
    pub fn revoked(&self) -> Vec<TicketId> {
        self.memory().revoked.clone()
    }

    async fn serve(&self) -> Result<(), Problem> {
        let bus = &self.backend.bus;
        let on = &self.alive;
        let relay = self.clone();
        bus.serve_node(self.id, on, move |ask: Probe| {
            let relay = relay.clone();
            async move { Ok(relay.probed(&ask.slug)) }
        })
        .await?;
        let relay = self.clone();
        bus.serve_node(self.id, on, move |ask: Fetch| {
            let relay = relay.clone();
            async move { relay.fetched(&ask.slug).await }
        })
        .await?;
        let relay = self.clone();
        bus.serve_node(self.id, on, move |ask: Fence| {
            relay.memory().fenced.push(ask);
            async { Ok(()) }
        })
        .await?;
        let relay = self.clone();
        bus.serve_node(self.id, on, move |told: Move| {
            let relay = relay.clone();
            async move {
                relay.go_over(&told.replaced).await;
                Ok(())
            }
        })
        .await?;
        let relay = self.clone();
        bus.serve_node(self.id, on, move |ask: Revoke| {
            relay.close(ask.id);
            relay.memory().revoked.push(ask.id);
            async { Ok(()) }
        })
        .await
    }

    fn probed(&self, slug: &Slug) -> Probed {
        let memory = self.memory();
        let carried = memory
            .carried
            .get(slug)
            .map(|carried| memory.as_of_now(carried));
        let origin = carried.as_ref().and_then(|carried| carried.origin);
        let publisher_silent_ms = origin.map(|origin| origin.silent_ms);
        Probed {
            carried,
            publisher_silent_ms,
            process: self.process,
        }
    }

    async fn fetched(&self, slug: &Slug) -> Result<Fetched, Problem> {
        if self.path(slug).is_empty() {
            self.pull(slug, &[]).await?;
        }
        let absent = || Problem::new(Code::Unavailable, "the stream did not come");
        let carried = self.memory().carried.get(slug).cloned();
        Ok(Fetched {
            carried: carried.ok_or_else(absent)?,
        })
    }

    /// Opens a link: the provider's first record is its path.
    async fn open(&self, slug: &Slug, offer: &Offer) -> Result<(), Problem> {
        let probe = Probe { slug: slug.clone() };
        let probed = self
            .backend
            .bus
            .request_node(offer.provider, &probe, WITHIN)
            .await?;
        let absent = || Problem::new(Code::Unavailable, "the provider does not carry the stream");
        let above = probed.carried.ok_or_else(absent)?;
        let path = above.path.iter().copied().chain([self.id]).collect();
        let epoch = EpochId {
            incarnation: above.incarnation,
            epoch: above.epoch,
        };
        self.memory()
            .carried
            .insert(slug.clone(), carried(slug, epoch, path));
        let served = ServedTicket {
            id: offer.id,
            slug: slug.clone(),
            subscriber: self.id,
            kbps: Kbps::new(2_500),
        };
        self.links()
            .entry(offer.provider)
            .or_default()
            .insert(offer.id, served);
        Ok(())
    }

    fn close(&self, id: TicketId) {
        self.links().values_mut().for_each(|served| {
            served.remove(&id);
        });
    }

    /// Whether the link by a ticket is open.
    fn is_open(&self, offer: &Offer) -> bool {
        self.links()
            .get(&offer.provider)
            .is_some_and(|served| served.contains_key(&offer.id))
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<NodeId, BTreeMap<TicketId, ServedTicket>>> {
        self.links.lock().expect("no holder of this lock panics")
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("no holder of this lock panics")
    }
}

fn carried(slug: &Slug, epoch: EpochId, path: Vec<NodeId>) -> Carried {
    Carried {
        slug: slug.clone(),
        incarnation: epoch.incarnation,
        epoch: epoch.epoch,
        path,
        standby: None,
        newest: None,
        kbps: Kbps::new(2_500),
        viewers: Viewers::default(),
        origin: None,
        progress: None,
    }
}
