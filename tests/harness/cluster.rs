//! A complete network in this process, on free ports.

use crate::http::{self, Answer};
use crate::{Gateway, Link, eventually};
use astral::up::{self, Network};
use astral_chassis::Context;
use astral_proto::model::{Drill, Fault, Page, Stream, StreamState, Tree, TreeRelay};
use astral_proto::ticket::{Claims, sign};
use astral_proto::{Kbps, NodeId, TicketId, UnixMillis};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Parser;
use ed25519_dalek::SigningKey;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seed of the key that signs the tickets of this network.
const TICKET_KEY_SEED: [u8; 32] = [42; 32];
/// Lifetime of a ticket that the harness signs, seconds.
const TICKET_SECONDS: u64 = 600;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    up: up::Args,
}

/// A network that stops when dropped.
pub struct Cluster {
    /// What runs, and its addresses.
    pub network: Network,
    context: Context,
}

impl Cluster {
    /// Starts `relays` relays, like `astral up --relays`. Relay 1 is an ordinary node, relay 2 is
    /// the supernode, and the others are its children.
    ///
    /// # Panics
    /// If the network does not start.
    pub async fn start(relays: u16) -> Self {
        Self::start_with(relays, &[]).await
    }

    /// Starts relays with additional flags. They replace the flags that the cluster sets by itself.
    ///
    /// # Panics
    /// If the network does not start.
    pub async fn start_with(relays: u16, flags: &[&str]) -> Self {
        let relays = relays.to_string();
        let key_file = KeyFile::write();
        let doors =
            ["--http-listen", "--media-listen", "--rtmp-listen"].map(|door| (door, "127.0.0.1:0"));
        let own = doors.into_iter().chain([
            ("--relays", &*relays),
            ("--ticket-key-file", &key_file.path),
        ]);
        let kept = own
            .filter(|(name, _)| !flags.contains(name))
            .flat_map(|(name, value)| [name, value]);
        let context = Context::detached();
        let args = Flags::parse_from(
            ["astral"]
                .into_iter()
                .chain(kept)
                .chain(flags.iter().copied()),
        )
        .up;
        let network = up::start(args, context.clone())
            .await
            .expect("the network starts");
        Self { network, context }
    }

    /// Returns the media address of relay `number`, counted from 1.
    pub fn media(&self, number: usize) -> SocketAddr {
        self.network.relays[number - 1].media_address
    }

    /// Returns the RTMP address of relay `number`, counted from 1.
    pub fn rtmp(&self, number: usize) -> SocketAddr {
        self.network.relays[number - 1].rtmp_address
    }

    /// Returns the id of relay `number`, counted from 1.
    pub fn node(&self, number: usize) -> NodeId {
        self.network.relays[number - 1].node
    }

    /// Returns the gateway.
    pub fn http(&self) -> SocketAddr {
        self.network.http_address
    }

    /// Gets `path` from the gateway.
    ///
    /// # Panics
    /// If the gateway does not answer.
    pub async fn get(&self, path: &str) -> Answer {
        http::get(self.http(), path)
            .await
            .unwrap_or_else(|| panic!("the gateway answers GET {path}"))
    }

    /// Returns all streams that the gateway lists.
    pub async fn streams(&self) -> Vec<Stream> {
        self.get("/v1/streams").await.json::<Page<Stream>>().items
    }

    /// Waits until the gateway lists `slug` in `state`.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn is_listed(&self, slug: &str, state: StreamState) -> Stream {
        eventually(&format!("{slug} is listed {state:?}"), || async {
            self.streams()
                .await
                .into_iter()
                .find(|stream| stream.slug.as_str() == slug && stream.state == state)
        })
        .await
    }

    /// Returns relay `number` in the tree of `slug`, if it is there.
    pub async fn in_tree(&self, slug: &str, number: usize) -> Option<TreeRelay> {
        let answer = self.get(&format!("/v1/streams/{slug}/tree")).await;
        let relays = if answer.status == 200 {
            answer.json::<Tree>().relays
        } else {
            Vec::new()
        };
        relays
            .into_iter()
            .find(|relay| relay.node == self.node(number))
    }

    /// Waits until `is` holds for relay `number` in the tree of `slug`.
    ///
    /// # Panics
    /// With `what`, if that does not happen.
    pub async fn stands(
        &self,
        what: &str,
        slug: &str,
        number: usize,
        is: impl Fn(&TreeRelay) -> bool,
    ) -> TreeRelay {
        Gateway(self.http())
            .stands(what, slug, self.node(number), is)
            .await
    }

    /// Starts a drill on relay `number`.
    ///
    /// # Panics
    /// If the gateway refuses.
    pub async fn drill(&self, number: usize, fault: Fault, seconds: u32) {
        let path = format!("/v1/nodes/{}/drill", self.node(number));
        let body = serde_json::to_string(&Drill { fault, seconds }).expect("plain data");
        let answer = http::post(self.http(), &path, &body)
            .await
            .expect("the gateway answers");
        assert!(
            (200..300).contains(&answer.status),
            "{} {}",
            answer.status,
            answer.text()
        );
    }

    /// Opens a link to relay `number` with a ticket that the broker does not know.
    ///
    /// # Panics
    /// If `slug` is not valid.
    pub fn link(&self, number: usize, slug: &str) -> Link {
        Self::link_to(self.node(number), self.media(number), slug)
    }

    /// Opens a link to any node of this network with a ticket that the broker does not know.
    ///
    /// # Panics
    /// If `slug` is not valid.
    pub fn link_to(provider: NodeId, media: SocketAddr, slug: &str) -> Link {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let claims = Claims {
            id: TicketId::random(),
            slug: slug.parse().expect("a slug"),
            provider,
            subscriber: NodeId::random(),
            standby: false,
            kbps: Kbps::new(1_000),
            expires_at: UnixMillis::from_secs(now + TICKET_SECONDS),
        };
        let token = sign(&claims, &Self::ticket_key());
        Link::start(media, slug, &token)
    }

    /// Returns the key that signs the tickets of this network.
    pub fn ticket_key() -> SigningKey {
        SigningKey::from_bytes(&TICKET_KEY_SEED)
    }

    /// Drains everything, like SIGTERM. Returns whether all ended before the deadline.
    pub async fn stop(self) -> bool {
        self.context.stop();
        self.context.drained().await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.context.stop();
    }
}

/// A file with the signing key, which exists until the broker has read it.
struct KeyFile {
    path: String,
}

impl KeyFile {
    fn write() -> Self {
        let name = format!("astral-ticket-key-{}", TicketId::random());
        let path = std::env::temp_dir().join(name).display().to_string();
        let mut file = std::fs::File::create_new(&path).expect("a file in the temporary directory");
        writeln!(file, "{}", URL_SAFE_NO_PAD.encode(TICKET_KEY_SEED)).expect("it takes a line");
        Self { path }
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}
