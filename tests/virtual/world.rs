//! A network without sockets.

use crate::publisher::{Clip, Publisher};
use crate::wire::Wired;
use astral_chassis::Context;
use astral_control_tests::Control;
use astral_proto::message::{
    GetNode, GetStream, GetTree, HeldTicket, ListTickets, Offer, Request, RequestTicket,
};
use astral_proto::model::{NodeState, Role, Stream, Ticket, TreeRelay};
use astral_proto::{NodeId, Problem, Slug, TicketId};
use astral_relay::{Connect, ListenerKind, Reach, Relay, RelayConfig, serve};
use harness::{Viewer, eventually};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What a wire holds either way, in bytes.
const WIRE_BYTES: usize = 256 << 10;
/// Where every peer seems to be.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Relays by their advertised addresses.
type Places = Arc<Mutex<HashMap<String, Place>>>;

/// A relay, whether it can be reached, whether what goes to it arrives, how long the first of it takes on each wire, and
/// how many there were.
struct Place {
    relay: Relay,
    is_reached: bool,
    passes: watch::Sender<bool>,
    opens_after: Duration,
    wires: usize,
}

/// The control services, and relays that reach each other.
pub struct World {
    control: Control,
    clip: Clip,
    places: Places,
}

/// A relay of the world.
pub struct Node {
    pub relay: Relay,
    places: Places,
    /// Whether it reaches no control service.
    is_cut: Arc<AtomicBool>,
}

impl World {
    pub async fn start() -> Self {
        let clip = Clip::record();
        Self {
            control: Control::start(100, true).await,
            clip,
            places: Places::default(),
        }
    }

    /// What the directory knows of `slug`.
    pub async fn stream(&self, slug: &Slug) -> Stream {
        self.control
            .ask(GetStream { slug: slug.clone() })
            .await
            .expect("the stream is known")
    }

    /// What the coordinator knows of `node`; none if it has forgotten it.
    pub async fn state(&self, node: &Node) -> Option<NodeState> {
        let known = self
            .control
            .ask(GetNode {
                node: node.relay.node(),
            })
            .await;
        known.ok().map(|node| node.state)
    }

    /// A relay that has registered.
    pub async fn join(&self, role: Role) -> Node {
        self.join_as(NodeId::random(), role).await
    }

    /// One that has been there before, where it was, and knows nothing of it.
    pub async fn join_as(&self, node: NodeId, role: Role) -> Node {
        self.join_at(node, role, format!("{node}:8081")).await
    }

    /// A relay that has registered at `address`, where another may have been.
    pub async fn join_at(&self, node: NodeId, role: Role, address: String) -> Node {
        let context = Context::detached();
        let config = RelayConfig {
            node,
            reach: Reach::new(PEER, PEER, Some(address.clone()), None),
            limit_kbps: 1_000_000,
            cache_bytes_max: 64 << 20,
            gateway_url: None,
            allow_drills: true,
            connect: self.connect(),
            env: self.control.backend.env.split("relay"),
        };
        let is_cut = Arc::<AtomicBool>::default();
        let control = astral_media_forwarder::control_plane(&self.control.backend.bus);
        let control = Arc::new(Wired {
            control,
            is_cut: is_cut.clone(),
        });
        let relay = astral_relay::start(
            config,
            control,
            CancellationToken::new(),
            context.scope.tasks.clone(),
        );
        let bus = &self.control.backend.bus;
        astral_media_forwarder::join(&relay, role, bus, &context)
            .await
            .expect("the local bus takes all");
        let passes = watch::Sender::new(true);
        let place = Place {
            relay: relay.clone(),
            is_reached: true,
            passes,
            opens_after: Duration::ZERO,
            wires: 0,
        };
        lock(&self.places).insert(address, place);
        eventually("a relay registers", || async {
            context.is_ready().then_some(())
        })
        .await;
        Node {
            relay,
            places: self.places.clone(),
            is_cut,
        }
    }

    /// What leads from one relay to another.
    fn connect(&self) -> Connect {
        let places = self.places.clone();
        Connect::Within(Arc::new(move |address| {
            let mut places = lock(&places);
            let place = places.get_mut(address).filter(|place| place.is_reached)?;
            place.wires += 1;
            let (subscriber, near) = duplex(WIRE_BYTES);
            let (far, provider) = duplex(WIRE_BYTES);
            let passes = place.passes.subscribe();
            let opens_after = place.opens_after;
            tokio::spawn(async move {
                sleep(opens_after).await;
                carry(near, far, passes).await;
            });
            serve(&place.relay, provider, PEER, ListenerKind::Media, ());
            Some(subscriber)
        }))
    }

    /// Publishes `slug` at `node`, in real time as the world has it.
    pub async fn publish(&self, node: &Node, slug: &Slug) -> Publisher {
        let (publisher, door) = duplex(WIRE_BYTES);
        serve(&node.relay, door, PEER, ListenerKind::Rtmp, ());
        Publisher::start(publisher, slug, &self.clip).await
    }

    /// Asks a control service.
    pub async fn ask<R: Request>(&self, request: R) -> Result<R::Reply, Problem> {
        self.control.ask(request).await
    }

    /// Every relay that carries `slug`, as the broker knows them.
    pub async fn tree(&self, slug: &Slug) -> Vec<TreeRelay> {
        let tree = self.control.ask(GetTree { slug: slug.clone() }).await;
        tree.map(|tree| tree.relays).unwrap_or_default()
    }

    /// A ticket for `node` to pull `slug` by, of none of `exclude`.
    pub async fn offer(&self, node: &Node, slug: &Slug, exclude: &[NodeId]) -> Offer {
        let slug = slug.clone();
        let subscriber = node.relay.node();
        let exclude = exclude.to_vec();
        let tickets = self
            .control
            .ask(RequestTicket {
                slug,
                subscriber,
                exclude,
                left: vec![],
            })
            .await;
        tickets.expect("somebody has room").active
    }

    /// Whether the broker knows the ticket `id` for `slug`.
    pub async fn knows(&self, slug: &Slug, id: TicketId) -> bool {
        self.tickets(slug)
            .await
            .iter()
            .any(|ticket| ticket.id == id)
    }

    /// Every ticket for `slug`, as the broker knows them.
    pub async fn tickets(&self, slug: &Slug) -> Vec<Ticket> {
        let ask = ListTickets {
            slug: Some(slug.clone()),
            cursor: None,
            limit: 1_000,
        };
        self.control
            .ask(ask)
            .await
            .expect("the broker answers")
            .items
    }

    /// Waits until `node` pulls `slug` and has a standby; its provider.
    pub async fn provider(&self, node: &Node, slug: &Slug) -> NodeId {
        let node = node.relay.node();
        eventually("a relay has a provider and a standby", || async {
            let tree = self.tree(slug).await;
            let relay = tree.iter().find(|relay| relay.node == node)?;
            relay.standby.and(relay.provider)
        })
        .await
    }
}

impl Node {
    /// Where other relays reach it.
    pub fn address(&self) -> String {
        self.relay.config().reach.advertise.clone()
    }

    /// Its viewer of `slug`.
    pub fn watch(&self, slug: &Slug) -> Viewer {
        let (viewer, door) = duplex(WIRE_BYTES);
        serve(&self.relay, door, PEER, ListenerKind::Media, ());
        Viewer::over(viewer, slug.as_str())
    }

    /// Ends it without a goodbye: its connections close, and it is silent.
    pub fn kill(&self) {
        lock(&self.places).retain(|_, place| place.relay.node() != self.relay.node());
        self.relay.stopping().cancel();
    }

    /// Cuts it off from every control service, or lets it reach them again. Relays and viewers still reach it.
    pub fn loses_control_plane(&self, lost: bool) {
        self.is_cut.store(lost, Ordering::Relaxed);
    }

    /// Has every new wire to it take so long to carry anything.
    pub fn opens_after(&self, time: Duration) {
        let mut places = lock(&self.places);
        let own = places
            .values_mut()
            .find(|place| place.relay.node() == self.relay.node());
        own.expect("it is there").opens_after = time;
    }

    /// Lets others connect to it, or refuses them. Open connections stay.
    pub fn is_reached(&self, is_reached: bool) {
        let mut places = lock(&self.places);
        let own = places
            .values_mut()
            .find(|place| place.relay.node() == self.relay.node());
        own.expect("it is there").is_reached = is_reached;
    }

    /// How many wires to it there have been.
    pub fn wires(&self) -> usize {
        let places = lock(&self.places);
        places
            .values()
            .find(|place| place.relay.node() == self.relay.node())
            .map_or(0, |place| place.wires)
    }

    /// The ticket it pulls its only stream by, and its standby.
    pub fn tickets(&self) -> (Option<HeldTicket>, Option<HeldTicket>) {
        let (standby, active) = astral_relay::node::statement(&self.relay)
            .holds
            .into_iter()
            .partition::<Vec<_>, _>(|held| held.standby);
        (active.into_iter().next(), standby.into_iter().next())
    }

    /// Lets nothing through to it or from it, or lets it through again.
    pub fn passes(&self, passes: bool) {
        let places = lock(&self.places);
        let own = places
            .values()
            .find(|place| place.relay.node() == self.relay.node());
        own.expect("it is there").passes.send_replace(passes);
    }
}

/// Carries bytes both ways while they may pass, until either end closes or the place is gone.
async fn carry(mut near: DuplexStream, mut far: DuplexStream, mut passes: watch::Receiver<bool>) {
    let mut carrying = pin!(copy_bidirectional(&mut near, &mut far));
    loop {
        let may_pass = *passes.borrow_and_update();
        let is_there = tokio::select! {
            _ = carrying.as_mut(), if may_pass => false,
            changed = passes.changed() => changed.is_ok(),
        };
        if !is_there {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
