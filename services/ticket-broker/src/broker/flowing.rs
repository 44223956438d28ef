//! Which silent nodes still send or receive, by the word of the relays at the other ends of their links.

use super::Broker;
use astral_proto::message::{FindFlowing, Flowing};
use astral_proto::{Code, NodeId, Problem};
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// Most nodes that are looked up at once.
const LOOKED_UP_AT_ONCE_MAX: usize = 32;

impl Broker {
    /// The nodes, of those asked about, that have a link which flows. All of them while silence means nothing.
    ///
    /// # Errors
    /// `bad_request` for more than [`FindFlowing::NODES_MAX`] nodes; those of the state.
    pub async fn flowing(self, ask: FindFlowing) -> Result<Flowing, Problem> {
        if ask.nodes.len() > FindFlowing::NODES_MAX {
            let detail = format!(
                "{} nodes are over the limit of {}",
                ask.nodes.len(),
                FindFlowing::NODES_MAX
            );
            return Err(Problem::new(Code::BadRequest, detail));
        }
        if self.truce.holds() {
            return Ok(Flowing { nodes: ask.nodes });
        }
        let broker = &self;
        let looked_up = stream::iter(ask.nodes)
            .map(|node| async move { Ok(broker.flows(node).await?.then_some(node)) })
            .buffer_unordered(LOOKED_UP_AT_ONCE_MAX);
        let nodes: Vec<Option<NodeId>> = looked_up.try_collect().await?;
        Ok(Flowing {
            nodes: nodes.into_iter().flatten().collect(),
        })
    }

    /// Whether a subscriber receives from `node`, or a provider sends to it.
    async fn flows(&self, node: NodeId) -> Result<bool, Problem> {
        let now = self.store.state.now();
        if self
            .store
            .ledger(node)
            .await?
            .is_some_and(|ledger| ledger.is_received_from(now))
        {
            return Ok(true);
        }
        let Some(relay) = self.store.relay(node).await? else {
            return Ok(false);
        };
        for held in relay.holds.iter().filter(|held| !held.standby) {
            let ledger = self.store.ledger(held.provider).await?;
            if ledger.is_some_and(|ledger| ledger.serves(held.id, now)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
