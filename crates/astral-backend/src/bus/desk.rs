//! What this process says of itself when it is asked whether it answers.

use super::replica::Replica;
use super::wire::{Answer, Inbox, Present};
use astral_runtime::{TaskScope, lock};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The services of which this process is a replica.
#[derive(Default)]
pub(super) struct Desks(Mutex<HashMap<String, Arc<Desk>>>);

/// One service of which this process is a replica.
#[derive(Default)]
pub(super) struct Desk {
    waiting: AtomicUsize,
}

impl Desks {
    /// That of `service`, and whether it is new.
    pub(super) fn of(&self, service: &str) -> (Arc<Desk>, bool) {
        let mut desks = lock(&self.0);
        if let Some(desk) = desks.get(service) {
            return (Arc::clone(desk), false);
        }
        let desk = Arc::<Desk>::default();
        desks.insert(service.to_owned(), Arc::clone(&desk));
        (desk, true)
    }

    /// Nobody answers for `service` any more.
    pub(super) fn close(&self, service: &str) {
        lock(&self.0).remove(service);
    }
}

impl Desk {
    /// Notes that a request waits for others, until what it gives is dropped.
    pub(super) fn waits(&self) -> impl Drop {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }

    fn is_busy(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers those who ask whether `replica` answers, until `context` stops.
pub(super) async fn answer(
    mut asked: Inbox,
    desk: Arc<Desk>,
    replica: Replica,
    context: TaskScope,
) {
    while let Some(Some(message)) = context.stopping.run_until_cancelled(asked.next()).await {
        if let Some(reply_to) = message.reply_to {
            let present = Present {
                is_busy: desk.is_busy(),
            };
            reply_to
                .send(Some(&replica), Answer::new(&message.subject, Ok(present)))
                .await;
        }
    }
}
