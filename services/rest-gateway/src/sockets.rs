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
    /// Registers `socket` as the socket of `node`. The token of an older socket of that node is
    /// cancelled.
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

    /// Closes an older socket of a node that has opened a new one, here or at another gateway.
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
