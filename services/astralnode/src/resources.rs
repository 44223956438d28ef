//! The resources of the local control API: this node, its streams, its settings.

use crate::client::Client;
use crate::upstream::{Limit, Upstream};
use astral_chassis::Context;
use astral_proto::model::{Node, Page, Role};
use astral_proto::{Code, NodeId, Problem, Slug};
use astral_relay::node::{self, HostedStream};
use astral_relay::{MembershipStatus, Relay};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What every request to the local control API uses.
pub struct Local {
    /// The relay.
    pub relay: Relay,
    /// The upstream bandwidth that it lends.
    pub limit: Limit,
    /// The process, to stop it.
    pub context: Context,
    /// The gateways.
    pub client: Arc<Client>,
    /// The role that its owner set.
    pub role: Role,
}

/// This node, and its standing with the gateway that it uses now.
#[derive(Serialize)]
pub struct LocalNode {
    #[serde(flatten)]
    node: Node,
    gateway: String,
    joined: bool,
    control_plane_up: bool,
    problem: Option<String>,
}

/// Settings that can change while the node runs, and the settings of its start.
#[derive(Serialize)]
pub struct Settings {
    upstream_limit: u32,
    upstream: Upstream,
    join: String,
    role: Role,
    cache_mib: usize,
}

/// A change of settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsChange {
    upstream_limit: u32,
}

/// Whether a stream may be carried.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamChange {
    streaming: bool,
}

impl Local {
    /// `GET /v1/nodes`.
    pub fn nodes(&self) -> Page<LocalNode> {
        Page {
            items: vec![self.own()],
            next_cursor: None,
        }
    }

    /// `GET /v1/nodes/UUID`.
    pub fn node(&self, id: NodeId) -> Result<LocalNode, Problem> {
        if id != self.relay.node() {
            let detail = format!("this is node {} and knows of no other", self.relay.node());
            return Err(Problem::new(Code::NotFound, detail));
        }
        Ok(self.own())
    }

    fn own(&self) -> LocalNode {
        let status: MembershipStatus = self.relay.status();
        LocalNode {
            node: node::hosted_node(&self.relay, self.role),
            gateway: self.client.base().to_owned(),
            joined: status.registered,
            control_plane_up: status.control_plane_up(),
            problem: status.problem.map(|problem| problem.detail),
        }
    }

    /// `GET /v1/streams`.
    pub fn streams(&self) -> Page<HostedStream> {
        Page {
            items: node::hosted_streams(&self.relay),
            next_cursor: None,
        }
    }

    /// `GET /v1/streams/SLUG`.
    pub fn stream(&self, slug: &Slug) -> Result<HostedStream, Problem> {
        node::hosted_stream(&self.relay, slug)
    }

    /// `POST /v1/streams/SLUG`: carries the stream before anybody watches here, and waits until it
    /// flows.
    pub async fn pull(&self, slug: &Slug) -> Result<HostedStream, Problem> {
        node::keep_until_flowing(&self.relay, slug).await?;
        self.stream(slug)
    }

    /// `DELETE /v1/streams/SLUG`: stops carrying the stream.
    pub fn let_go(&self, slug: &Slug) -> Result<(), Problem> {
        node::let_go(&self.relay, slug)
    }

    /// `PUT /v1/streams/SLUG`: blocks the stream, or allows it again.
    pub fn change(&self, slug: &Slug, change: &StreamChange) -> Result<HostedStream, Problem> {
        if change.streaming {
            node::take_back_in(&self.relay, slug);
        } else {
            node::keep_out(&self.relay, slug)?;
        }
        self.stream(slug)
    }

    /// `GET /v1/settings`.
    pub fn settings(&self) -> Settings {
        Settings {
            upstream_limit: self.relay.limit_kbps(),
            upstream: self.limit.upstream(),
            join: self.client.bases(),
            role: self.role,
            cache_mib: self.relay.config().cache_bytes_max >> 20,
        }
    }

    /// `PUT /v1/settings`.
    pub fn set(&self, change: &SettingsChange) -> Settings {
        self.limit.tell(change.upstream_limit);
        self.settings()
    }

    /// `POST /v1/drain`: leaves the network and ends the process.
    pub fn drain(&self) {
        tracing::info!("the control API asks this node to leave");
        self.context.stop();
    }
}
