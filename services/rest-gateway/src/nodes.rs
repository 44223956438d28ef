//! Nodes: list, get, and drills.

use crate::gateway::{ANSWER_WITHIN, Gateway, json, no_content};
use crate::request::PageQuery;
use astral_proto::message::{GetNode, Inject, ListNodes};
use astral_proto::model::Drill;
use astral_proto::{Code, NodeId, Problem};
use std::sync::Arc;
use warp::reply::Response;

/// Longest drill, in seconds.
const DRILL_SECONDS_MAX: u32 = 600;

pub(crate) async fn list(query: PageQuery, gateway: Arc<Gateway>) -> Result<Response, Problem> {
    let limit = query.limit()?;
    Ok(json(&gateway.ask(ListNodes { cursor: query.cursor, limit }).await?))
}

pub(crate) async fn get(node: String, gateway: Arc<Gateway>) -> Result<Response, Problem> {
    let node: NodeId = node.parse()?;
    Ok(json(&gateway.ask(GetNode { node }).await?))
}

/// Puts a fault on one node, where drills are allowed.
pub(crate) async fn drill(node: String, drill: Drill, gateway: Arc<Gateway>) -> Result<Response, Problem> {
    if !gateway.drills {
        return Err(Problem::new(
            Code::Forbidden,
            "drills are off here: start the gateway with --allow-drills",
        ));
    }
    let node: NodeId = node.parse()?;
    let Drill { fault, seconds } = drill;
    if !(1..=DRILL_SECONDS_MAX).contains(&seconds) {
        let detail = format!("seconds {seconds} is not from 1 to {DRILL_SECONDS_MAX}");
        return Err(Problem::new(Code::BadRequest, detail));
    }
    tracing::warn!(node.id = %node, ?fault, seconds, "drill");
    gateway.bus.request_node(node, &Inject { fault, seconds }, ANSWER_WITHIN).await?;
    Ok(no_content())
}
