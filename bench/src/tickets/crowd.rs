//! Relays without media: some that carry a stream and say so every two seconds, and any number that join.

use super::length;
use anyhow::{Context, Result};
use astral_backend::{Backend, State, unix_millis};
use astral_proto::limits::HEARTBEAT_INTERVAL;
use astral_proto::message::{
    Carried, ConfirmTicket, ForwardHeartbeat, GetStream, GoLive, Heartbeat, OriginState,
    RenewTickets, RequestTicket, ServedTicket,
};
use astral_proto::model::{Node, NodeState, Role, Viewers};
use astral_proto::{FrameId, Incarnation, Kbps, Micros, NodeId, Slug, TicketId, UnixMillis};
use futures_util::future::try_join_all;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

/// Relays that carry the stream, beside its origin.
pub const PROVIDERS: usize = 200;
const LIMIT_KBPS: u32 = 1_000_000;
const KBPS: u32 = 2_500;
const WITHIN: Duration = Duration::from_secs(5);
const START_WAIT: Duration = Duration::from_secs(20);
/// Messages of this bench on their way at a time while nothing is measured.
const AT_ONCE: usize = 100;

/// Everybody.
pub struct Crowd {
    backend: Backend,
    slug: Slug,
    /// The origin is the first.
    providers: Vec<NodeId>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    served: HashMap<NodeId, Vec<ServedTicket>>,
    joining: VecDeque<NodeId>,
    last: Option<(NodeId, TicketId)>,
    /// Of the ledgers, as last told.
    generation: u32,
}

impl Crowd {
    /// An origin on air and those that carry its stream, heard of by the broker.
    pub async fn gather(backend: Backend) -> Result<Self> {
        let providers: Vec<NodeId> = (0..=PROVIDERS).map(|_| NodeId::random()).collect();
        let slug: Slug = "bench".parse()?;
        let go_live = GoLive {
            slug: slug.clone(),
            key: None,
            node: providers[0],
            newest: None,
            newest_dts: None,
            incarnation: Incarnation::default(),
            epoch: 0,
        };
        let begun = Instant::now();
        while let Err(problem) = backend.bus.request(&go_live, WITHIN).await {
            anyhow::ensure!(
                begun.elapsed() < START_WAIT,
                "the directory does not answer: {problem}"
            );
            sleep(Duration::from_millis(50)).await;
        }
        let crowd = Self {
            backend,
            slug,
            providers,
            inner: Mutex::default(),
        };
        while let Err(problem) = crowd.beat().await {
            anyhow::ensure!(
                begun.elapsed() < START_WAIT,
                "the broker does not answer: {problem}"
            );
            sleep(Duration::from_millis(50)).await;
        }
        // Once more, in the generation that was told.
        crowd.beat().await?;
        Ok(crowd)
    }

    /// Has every provider say every two seconds what it serves, at a moment of its own: relays know nothing of each
    /// other.
    pub async fn beat_for_ever(self: Arc<Self>) {
        let mut beating = JoinSet::new();
        for node in self.providers.clone() {
            beating.spawn(self.clone().beat_of_one(node));
        }
        beating.join_all().await;
    }

    async fn beat_of_one(self: Arc<Self>, node: NodeId) {
        let phase = HEARTBEAT_INTERVAL.mul_f64((node.0.as_u128() % 1_000) as f64 / 1e3);
        let mut tick = interval_at(Instant::now() + phase, HEARTBEAT_INTERVAL);
        loop {
            tick.tick().await;
            if let Err(error) = self.beat_of(&[node]).await {
                eprintln!("heartbeats fail: {error:#}");
            }
        }
    }

    async fn beat(&self) -> Result<()> {
        for nodes in self.providers.chunks(AT_ONCE) {
            self.beat_of(nodes).await?;
        }
        Ok(())
    }

    async fn beat_of(&self, nodes: &[NodeId]) -> Result<()> {
        let beats = nodes.iter().map(|node| {
            let said = self.says(*node);
            async move { self.backend.bus.request(&said, WITHIN).await }
        });
        let renewed = try_join_all(beats).await?;
        self.inner().generation = renewed.first().map_or(0, |renewed| renewed.generation);
        if !nodes.contains(&self.providers[0]) {
            return Ok(());
        }
        let origin = self.says(self.providers[0]).heartbeat;
        Ok(self
            .backend
            .bus
            .request(&ForwardHeartbeat { heartbeat: origin }, WITHIN)
            .await?)
    }

    fn says(&self, node: NodeId) -> RenewTickets {
        let origin = self.providers[0];
        let path = if node == origin {
            vec![origin]
        } else {
            vec![origin, node]
        };
        let newest = FrameId::new(unix_millis().as_secs() / 2, 0);
        let state = OriginState {
            newest,
            newest_dts: Micros::from_millis(unix_millis().get()),
            discontinuity: 0,
            target_duration_seconds: Some(4),
            silent_ms: 0,
        };
        let carried = Carried {
            slug: self.slug.clone(),
            incarnation: Incarnation::default(),
            epoch: 1,
            path,
            standby: None,
            newest: Some(newest),
            kbps: Kbps::new(KBPS),
            viewers: Viewers::default(),
            origin: (node == origin).then_some(state),
            progress: None,
        };
        let serves = self.inner().served.get(&node).cloned().unwrap_or_default();
        let mut said = renewal(node, unix_millis().get(), vec![carried], serves);
        said.heartbeat.generation = self.inner().generation;
        said
    }

    /// Registers those that will join next, as the coordinator would.
    pub async fn expect(&self, joining: usize) -> Result<()> {
        let nodes: Vec<NodeId> = (0..joining).map(|_| NodeId::random()).collect();
        for nodes in nodes.chunks(AT_ONCE) {
            let registered = nodes.iter().map(|node| {
                let said = renewal(*node, 0, vec![], vec![]);
                async move { self.backend.bus.request(&said, WITHIN).await }
            });
            try_join_all(registered).await?;
        }
        self.inner().joining.extend(nodes);
        Ok(())
    }

    /// The next one gets a ticket and confirms it.
    pub async fn one_joins(&self) -> Result<()> {
        let subscriber = self
            .inner()
            .joining
            .pop_front()
            .context("nobody is left to join")?;
        let ask = RequestTicket {
            slug: self.slug.clone(),
            subscriber,
            exclude: vec![],
            left: vec![],
        };
        let active = self.backend.bus.request(&ask, WITHIN).await?.active;
        self.backend
            .bus
            .request(
                &ConfirmTicket {
                    id: active.id,
                    subscriber,
                },
                WITHIN,
            )
            .await?;
        let served = ServedTicket {
            id: active.id,
            slug: self.slug.clone(),
            subscriber,
            kbps: Kbps::new(KBPS),
        };
        let mut inner = self.inner();
        inner
            .served
            .entry(active.provider)
            .or_default()
            .push(served);
        inner.last = Some((active.provider, active.id));
        Ok(())
    }

    /// Somebody looks the stream up.
    pub async fn one_reads(&self) -> Result<()> {
        self.backend
            .bus
            .request(
                &GetStream {
                    slug: self.slug.clone(),
                },
                WITHIN,
            )
            .await?;
        Ok(())
    }

    /// How long a ledger, a place and an upstream are now, in bytes as they are written.
    pub async fn sizes(&self, state: &State) -> Result<[usize; 3]> {
        let (provider, ticket) = self.inner().last.context("nobody has joined")?;
        let ledger = state.get::<Value>("ledgers", &provider.to_string()).await?;
        let place = state.get::<Value>("tickets", &ticket.to_string()).await?;
        let upstreams = state.list::<Value>("upstreams", None, 1).await?;
        let upstream = upstreams.first().map(|(_, entry)| entry);
        Ok([
            length(ledger.as_ref())?,
            length(place.as_ref())?,
            length(upstream)?,
        ])
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn renewal(
    node: NodeId,
    sent_at: u64,
    streams: Vec<Carried>,
    serves: Vec<ServedTicket>,
) -> RenewTickets {
    let shown = Node {
        uuid: node,
        name: String::new(),
        role: if streams.is_empty() {
            Role::Node
        } else {
            Role::Supernode
        },
        state: NodeState::Up,
        media_url: format!("http://{node}.relays:8081"),
        rtmp_url: format!("rtmp://{node}.relays:1935/live"),
        advertise: format!("{node}.relays:8081"),
        primary_supernode: None,
        limit_kbps: Kbps::new(LIMIT_KBPS),
        promised_kbps: Kbps::new(serves.len() as u32 * KBPS),
        viewer_kbps: Kbps::new(0),
        streams: streams.len() as u32,
    };
    let heartbeat = Heartbeat {
        node,
        draining: false,
        limit_kbps: Kbps::new(LIMIT_KBPS),
        viewer_kbps: Kbps::new(0),
        streams,
        serves,
        holds: vec![],
        rtts: vec![],
        generation: 0,
        sent_at: UnixMillis::new(sent_at),
        notices: vec![],
        process: 0,
    };
    RenewTickets {
        heartbeat,
        node: shown,
        rtts: vec![],
    }
}
