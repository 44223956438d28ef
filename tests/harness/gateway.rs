//! What a gateway says of its network.

use crate::http::{self, Answer};
use crate::{ASK_EVERY, PATIENCE, eventually};
use astral_proto::NodeId;
use astral_proto::model::{Node, Page, Stream, StreamState, Ticket, Tree, TreeRelay};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;

/// A gateway, by its address.
#[derive(Clone, Copy, Debug)]
pub struct Gateway(pub SocketAddr);

impl Gateway {
    /// GETs `path`; none if it is not answered.
    pub async fn get(&self, path: &str) -> Option<Answer> {
        http::get(self.0, path).await
    }

    /// Every item of the list at `path`; none if it is not answered with one page.
    async fn list<T: DeserializeOwned>(&self, path: &str) -> Option<Vec<T>> {
        let answer = self.get(path).await.filter(|answer| answer.status == 200)?;
        let page = answer.json::<Page<T>>();
        page.next_cursor.is_none().then_some(page.items)
    }

    /// Every node; none if the control plane is away.
    pub async fn nodes(&self) -> Option<Vec<Node>> {
        self.list("/v1/nodes").await
    }

    /// Every ticket for `slug`; none if the control plane is away.
    pub async fn tickets(&self, slug: &str) -> Option<Vec<Ticket>> {
        self.list(&format!("/v1/streams/{slug}/tickets")).await
    }

    /// The tree of `slug`; none if the control plane is away or knows of none.
    pub async fn tree(&self, slug: &str) -> Option<Vec<TreeRelay>> {
        let answer = self.get(&format!("/v1/streams/{slug}/tree")).await;
        answer
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.json::<Tree>().relays)
    }

    /// The stream `slug`; none if the control plane is away or knows of none.
    pub async fn stream(&self, slug: &str) -> Option<Stream> {
        let answer = self.get(&format!("/v1/streams/{slug}")).await;
        answer
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.json())
    }

    /// Waits until `slug` is listed live.
    ///
    /// # Panics
    /// If it is not.
    pub async fn lists_live(&self, slug: &str) {
        eventually(&format!("{slug} is listed live"), || async {
            let streams: Vec<Stream> = self.list("/v1/streams").await?;
            let is_it =
                |stream: &Stream| stream.slug.as_str() == slug && stream.state == StreamState::Live;
            streams.iter().any(is_it).then_some(())
        })
        .await;
    }

    /// Waits until `node` stands in the tree of `slug` as `is` wants it.
    ///
    /// # Panics
    /// With `what`, and the tree as it is, if it does not.
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
