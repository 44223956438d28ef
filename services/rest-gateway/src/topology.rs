//! The network at a glance.

use crate::answer::Json;
use crate::call::Call;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::page::PageQuery;
use astral_proto::message::{GetTree, ListNodes, ListStreams};
use astral_proto::model::{Stream, StreamState, Tree};
use astral_proto::rest::Topology;
use astral_proto::{Code, Slug};
use futures_util::{StreamExt, TryStreamExt, stream};

/// Most nodes in one answer: a picture of more would show nothing.
const NODES_MAX: u32 = 1000;
/// Most streams on one page.
const STREAMS_MAX: u32 = 100;
/// The states of streams that have a tree.
const ON_AIR: [StreamState; 2] = [StreamState::Live, StreamState::Grace];
/// Requests for trees that run at the same time.
const TREES_AT_A_TIME: usize = 8;

/// Returns the nodes, and one page of the trees of streams on air.
pub(crate) async fn get(call: Call<(), PageQuery>) -> Result<Json<Topology>, Error> {
    let cursor = call.query.cursor::<Slug>()?;
    let limit = call.query.limit()?.min(STREAMS_MAX);
    let gateway = &call.gateway;
    let (nodes, more_nodes) = match cursor {
        Some(_) => (Vec::new(), false),
        None => {
            let page = gateway
                .ask(ListNodes {
                    cursor: None,
                    limit: NODES_MAX,
                })
                .await?;
            (page.items, page.next_cursor.is_some())
        }
    };
    let streams = gateway
        .ask(ListStreams {
            cursor,
            limit,
            states: ON_AIR.to_vec(),
        })
        .await?;
    let trees = trees(gateway, streams.items).await?;
    Ok(Json(Topology {
        nodes,
        more_nodes,
        trees,
        next_cursor: streams.next_cursor,
    }))
}

/// Returns the trees of `streams`, in the same order.
async fn trees(gateway: &Gateway, streams: Vec<Stream>) -> Result<Vec<Tree>, Error> {
    let asked = streams.into_iter().map(|stream| async move {
        match gateway.ask(GetTree { slug: stream.slug }).await {
            Err(problem) if problem.code == Code::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    });
    let trees: Vec<_> = stream::iter(asked)
        .buffered(TREES_AT_A_TIME)
        .try_collect()
        .await?;
    Ok(trees.into_iter().flatten().collect())
}
