//! Nodes: list, get and drill them; and what a node outside the cluster sends: register, heartbeat,
//! leave.

pub(crate) mod requests;

use crate::answer::{Created, Json, NoContent};
use crate::call::{Body, Call, NoQuery};
use crate::error::Error;
use crate::gateway::ANSWER_WITHIN;
use crate::page::PageQuery;
use astral_proto::NodeId;
use astral_proto::limits::{DRILL_SECONDS_MAX, MESSAGE_BYTES_MAX};
use astral_proto::message::{
    GetNode, Heartbeat, HeartbeatReply, Inject, Leave, ListNodes, Register, Registered,
};
use astral_proto::model::{Drill, Node, Page};

impl Body for Drill {
    fn changes(&self) -> String {
        format!("{:?} for {} s", self.fault, self.seconds)
    }
}

impl Body for Register {
    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }
}

impl Body for Heartbeat {
    /// A heartbeat reports all that the node carries, serves and holds.
    const BYTES_MAX: usize = MESSAGE_BYTES_MAX;

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }
}

pub(crate) async fn list(call: Call<(), PageQuery>) -> Result<Json<Page<Node>>, Error> {
    let ask = ListNodes {
        cursor: call.query.cursor::<NodeId>()?,
        limit: call.query.limit()?,
    };
    Ok(Json(call.gateway.ask(ask).await?))
}

pub(crate) async fn get(call: Call<NodeId>) -> Result<Json<Node>, Error> {
    Ok(Json(call.gateway.ask(GetNode { node: call.at }).await?))
}

pub(crate) async fn register(
    call: Call<(), NoQuery, Register>,
) -> Result<Created<Registered>, Error> {
    let at = format!("/v1/nodes/{}", call.body.node);
    Ok(Created {
        value: call.gateway.ask(call.body).await?,
        at,
    })
}

pub(crate) async fn heartbeat(
    call: Call<NodeId, NoQuery, Heartbeat>,
) -> Result<Json<HeartbeatReply>, Error> {
    Ok(Json(call.gateway.ask(call.body).await?))
}

pub(crate) async fn leave(call: Call<NodeId>) -> Result<NoContent, Error> {
    call.gateway.ask(Leave { node: call.at }).await?;
    Ok(NoContent)
}

/// Injects a fault into one node, where drills are allowed.
pub(crate) async fn drill(call: Call<NodeId, NoQuery, Drill>) -> Result<NoContent, Error> {
    if !call.gateway.drills {
        return Err(Error::DrillsOff);
    }
    let Drill { fault, seconds } = call.body;
    if !(1..=DRILL_SECONDS_MAX).contains(&seconds) {
        return Err(Error::WrongDrillSeconds { seconds });
    }
    call.gateway
        .bus
        .request_node(call.at, &Inject { fault, seconds }, ANSWER_WITHIN)
        .await?;
    Ok(NoContent)
}
