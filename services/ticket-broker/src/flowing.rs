//! Finds out which nodes that send no heartbeats still send or receive media. The relays at the
//! other ends of their links report that.

use crate::broker::Broker;
use crate::error::Error;
use astral_proto::NodeId;
use astral_proto::message::{FindFlowing, Flowing};
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// Most nodes that are looked up at once.
const LOOKED_UP_AT_ONCE_MAX: usize = 32;

/// Returns the given nodes that have a link over which media flows. During a truce, returns all of
/// them, because reports may be missing.
///
/// # Errors
/// [`Error::TooMany`] for more than [`FindFlowing::NODES_MAX`] nodes; those of the state.
pub async fn find_flowing(broker: Broker, ask: FindFlowing) -> Result<Flowing, Error> {
    if ask.nodes.len() > FindFlowing::NODES_MAX {
        return Err(Error::TooMany {
            what: "nodes",
            given: ask.nodes.len(),
            max: FindFlowing::NODES_MAX,
        });
    }
    if broker.truce.holds() {
        return Ok(Flowing { nodes: ask.nodes });
    }
    let broker = &broker;
    let looked_up = stream::iter(ask.nodes)
        .map(|node| async move {
            let has_flow = has_flowing_link(broker, node).await?;
            Ok::<_, Error>(has_flow.then_some(node))
        })
        .buffered(LOOKED_UP_AT_ONCE_MAX);
    let nodes: Vec<Option<NodeId>> = looked_up.try_collect().await?;
    Ok(Flowing {
        nodes: nodes.into_iter().flatten().collect(),
    })
}

/// Whether a subscriber reports that it receives from `node`, or a provider reports that it sends
/// to `node`.
async fn has_flowing_link(broker: &Broker, node: NodeId) -> Result<bool, Error> {
    let now = broker.store.state.now();
    let ledger = broker.store.ledgers.get(node).await?;
    if ledger.is_some_and(|ledger| ledger.is_received_from(now)) {
        return Ok(true);
    }
    let Some(relay) = broker.store.relays.get(node).await? else {
        return Ok(false);
    };
    for held in relay.holds.iter().filter(|held| !held.standby) {
        let ledger = broker.store.ledgers.get(held.provider).await?;
        if ledger.is_some_and(|ledger| ledger.serves(held.id, now)) {
            return Ok(true);
        }
    }
    Ok(false)
}
