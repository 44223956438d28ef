//! The WebSockets by which requests reach nodes outside the cluster: at most one for each node.

use crate::error::Error;
use astral_proto::NodeId;
use astral_proto::message::NodeAttached;
use astral_runtime::lock;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Most sockets of one gateway.
const SOCKETS_MAX: usize = 4096;

/// The sockets that are open, one for each node.
#[derive(Default)]
pub(crate) struct Sockets {
    open: Mutex<HashMap<NodeId, (Uuid, CancellationToken)>>,
}

impl Sockets {
    /// Makes `socket` the one of `node`; whoever was it is told by the token it got.
    pub(crate) fn take(&self, node: NodeId, socket: Uuid) -> Result<CancellationToken, Error> {
        let mut open = self.lock();
        if open.len() >= SOCKETS_MAX && !open.contains_key(&node) {
            return Err(Error::TooManyNodes {
                nodes_max: SOCKETS_MAX,
            });
        }
        let taken = CancellationToken::new();
        if let Some((_, before)) = open.insert(node, (socket, taken.clone())) {
            before.cancel();
        }
        Ok(taken)
    }

    pub(crate) fn leave(&self, node: NodeId, socket: Uuid) {
        let mut open = self.lock();
        if open
            .get(&node)
            .is_some_and(|(present, _)| *present == socket)
        {
            open.remove(&node);
        }
    }

    /// A socket has opened here or at another gateway: an older one of its node closes.
    pub(crate) fn attached(&self, NodeAttached { node, socket }: NodeAttached) {
        if let Some((present, taken)) = self.lock().get(&node)
            && *present != socket
        {
            taken.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, (Uuid, CancellationToken)>> {
        lock(&self.open)
    }
}
