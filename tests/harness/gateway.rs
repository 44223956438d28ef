//! What a gateway says about its network.

use crate::http::{self, Answer};
use crate::{ASK_EVERY, PATIENCE, eventually};
use astral_proto::NodeId;
use astral_proto::model::{Node, Page, Stream, StreamState, Ticket, Tree, TreeRelay};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;

/// The address of a gateway.
#[derive(Clone, Copy, Debug)]
pub struct Gateway(pub SocketAddr);

impl Gateway {
    /// Gets `path`; `None` without an answer.
    pub async fn get(&self, path: &str) -> Option<Answer> {
        http::get(self.0, path).await
    }

    /// Returns all items of the list at `path`; `None` if it is not answered with one page.
    async fn list<T: DeserializeOwned>(&self, path: &str) -> Option<Vec<T>> {
        let answer = self.get(path).await.filter(|answer| answer.status == 200)?;
        let page = answer.json::<Page<T>>();
        page.next_cursor.is_none().then_some(page.items)
    }

    /// Returns all nodes; `None` if the control plane is away.
    pub async fn nodes(&self) -> Option<Vec<Node>> {
        self.list("/v1/nodes").await
    }

    /// Returns all tickets for `slug`; `None` if the control plane is away.
    pub async fn tickets(&self, slug: &str) -> Option<Vec<Ticket>> {
        self.list(&format!("/v1/streams/{slug}/tickets")).await
    }

    /// Returns the tree of `slug`; `None` if there is none or the control plane is away.
    pub async fn tree(&self, slug: &str) -> Option<Vec<TreeRelay>> {
        let answer = self.get(&format!("/v1/streams/{slug}/tree")).await;
        answer
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.json::<Tree>().relays)
    }

    /// Returns the stream `slug`; `None` if there is none or the control plane is away.
    pub async fn stream(&self, slug: &str) -> Option<Stream> {
        let answer = self.get(&format!("/v1/streams/{slug}")).await;
        answer
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.json())
    }

    /// Waits until `slug` is listed as live.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn lists_live(&self, slug: &str) {
        eventually(&format!("{slug} is listed live"), || async {
            let streams: Vec<Stream> = self.list("/v1/streams").await?;
            let is_it =
                |stream: &Stream| stream.slug.as_str() == slug && stream.state == StreamState::Live;
            streams.iter().any(is_it).then_some(())
        })
        .await;
    }

    /// Waits until `is` holds for `node` in the tree of `slug`.
    ///
    /// # Panics
    /// With `what` and the tree, if that does not happen.
    pub async fn stands(
        &self,
        what: &str,
        slug: &str,
        node: NodeId,
        is: impl Fn(&TreeRelay) -> bool,
    ) -> TreeRelay {
        let standing = async {
            loop {
                let tree = self.tree(slug).await.unwrap_or_default();
                if let Some(relay) = tree
                    .into_iter()
                    .find(|relay| relay.node == node && is(relay))
                {
                    return relay;
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        if let Ok(relay) = tokio::time::timeout(PATIENCE, standing).await {
            return relay;
        }
        let answer = self.get(&format!("/v1/streams/{slug}/tree")).await;
        let tree = answer.map(|answer| answer.text());
        panic!("in {PATIENCE:?} never: {what}; it is relay {node}, the tree is {tree:?}");
    }
}
