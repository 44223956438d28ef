//! The requests of one socket that wait for an answer. Their number and their time are limited.

use crate::error::Error;
use astral_proto::Problem;
use astral_proto::message::NodeRequest;
use astral_proto::rest::{NODE_ASKS_MAX, NodeAnswer, NodeAsk};
use astral_runtime::lock;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Longest time for a node to answer. Most callers on the bus wait for less.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// Where requests wait.
pub(super) struct Desk {
    out: mpsc::Sender<NodeAsk>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last_id: u64,
    by_id: HashMap<u64, oneshot::Sender<NodeAnswer>>,
}

impl Desk {
    /// A desk whose requests leave through `out`.
    pub(super) fn new(out: mpsc::Sender<NodeAsk>) -> Self {
        Self {
            out,
            waiting: Mutex::default(),
        }
    }

    /// Sends a request to the node and waits for its answer.
    ///
    /// # Errors
    /// The node's own problem; `full` if too many requests wait; `timeout`; `unavailable` once the
    /// socket is closed.
    pub(super) async fn ask<R: NodeRequest>(&self, request: &R) -> Result<R::Reply, Problem> {
        let (place, answer) = self.place()?;
        let ask = NodeAsk::new(place.id, request);
        self.out.try_send(ask).map_err(|_| Error::TooManyAsks)?;
        match timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(answer)) => answer.outcome::<R>(),
            Ok(Err(_)) => Err(Error::NodeSocketClosed.into()),
            Err(_) => Err(Error::NodeTimeout {
                limit: ANSWER_WITHIN,
            }
            .into()),
        }
    }

    /// Passes an answer to the request that waits for it. An answer that nothing waits for came too
    /// late and is dropped.
    pub(super) fn answer(&self, answer: NodeAnswer) {
        let waits = self.lock().by_id.remove(&answer.id);
        if let Some(waits) = waits {
            drop(waits.send(answer));
        }
    }

    fn place(&self) -> Result<(Place<'_>, oneshot::Receiver<NodeAnswer>), Error> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.by_id.len() >= NODE_ASKS_MAX {
            return Err(Error::TooManyAsks);
        }
        waiting.last_id += 1;
        let id = waiting.last_id;
        waiting.by_id.insert(id, sender);
        Ok((Place { desk: self, id }, answer))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

/// A place in the table of waiting requests. Dropping it frees the place.
struct Place<'a> {
    desk: &'a Desk,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.desk.lock().by_id.remove(&self.id);
    }
}
