//! An astralnode in this process. It uses only REST to join.

use crate::http::{self, Answer};
use crate::{Gateway, eventually};
use astral_chassis::Context;
use astral_proto::NodeId;
use astral_proto::model::TreeRelay;
use astralnode::Started;
use clap::Parser;
use serde_json::Value;
use std::net::SocketAddr;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: astralnode::Config,
}

/// An astralnode that leaves when it is dropped.
pub struct Edge {
    /// Its addresses.
    pub started: Started,
    context: Context,
}

impl Edge {
    /// Starts and joins at `gateway`. Its upstream limit is set, so it does not measure.
    ///
    /// # Panics
    /// If it does not start or join.
    pub async fn join(gateway: SocketAddr) -> Self {
        let edge = Self::start(gateway, &["--upstream-limit", "100000"]).await;
        edge.has_joined().await;
        edge
    }

    /// Starts with `flags`, without waiting until it has joined.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(gateway: SocketAddr, flags: &[&str]) -> Self {
        let join = format!("http://{gateway}");
        let mut own = vec!["astralnode", "--join", &join];
        for door in ["--control-listen", "--media-listen", "--rtmp-listen"] {
            own.extend([door, "127.0.0.1:0"]);
        }
        let config = Flags::parse_from(own.iter().chain(flags)).config;
        let context = Context::detached();
        let started = astralnode::start(config, context.clone())
            .await
            .expect("the edge starts");
        Self { started, context }
    }

    /// Waits until it has joined.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn has_joined(&self) {
        let joined = async || {
            self.shown().await["joined"]
                .as_bool()
                .filter(|joined| *joined)
        };
        eventually("an edge joins", joined).await;
    }

    /// Returns the node as its own control API shows it.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn shown(&self) -> Value {
        self.ask("GET", "/v1/nodes", "").await.json::<Value>()["items"][0].take()
    }

    /// Gets a path of its control API.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let answer = http::send(self.started.control_address, method, path, body).await;
        answer.unwrap_or_else(|| panic!("the control API answers {method} {path}"))
    }

    /// Waits until `gateway` shows it in the tree of `slug` with a provider and a standby. Returns
    /// its provider.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn hangs_in_tree(&self, gateway: Gateway, slug: &str) -> NodeId {
        let what = "the edge has a provider and a standby";
        let is = |relay: &TreeRelay| relay.provider.is_some() && relay.standby.is_some();
        gateway
            .stands(what, slug, self.started.relay.node, is)
            .await
            .provider
            .expect("it has one")
    }

    /// Drains, like SIGTERM. Returns whether all ended before the deadline.
    pub async fn stop(self) -> bool {
        self.context.stop();
        self.context.drained().await
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.context.stop();
    }
}
