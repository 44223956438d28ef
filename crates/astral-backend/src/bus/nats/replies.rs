//! Answers that are waited for. One subscription takes them all; who gives up leaves nothing behind.

use async_nats::{Message, Subject};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::oneshot;

/// Who waits for what.
pub(super) struct Replies {
    /// Of the subjects that answers go to; ends in a dot.
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
}

impl Replies {
    pub(super) fn new() -> Self {
        let prefix = format!("_INBOX.{:032x}.", rand::random::<u128>());
        Self { prefix, next: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// What to subscribe to.
    pub(super) fn pattern(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// Expects one more message.
    pub(super) fn expect(self: &Arc<Self>) -> Expected {
        let (sender, message) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(id, sender);
        Expected { replies: Arc::clone(self), id, message }
    }

    /// Hands `message` to who waits for it, if anybody still does.
    pub(super) fn take_in(&self, message: Message) {
        let waiting = self.id(&message.subject).and_then(|id| self.waiting().remove(&id));
        if let Some(sender) = waiting {
            drop(sender.send(message));
        }
    }

    /// Lets nobody wait any longer: the answers have gone nowhere.
    pub(super) fn give_up(&self) {
        self.waiting().clear();
    }

    fn id(&self, subject: &Subject) -> Option<u64> {
        subject.strip_prefix(self.prefix.as_str())?.parse().ok()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Message>>> {
        self.waiting.lock().expect("nothing panics while it holds the table")
    }
}

/// One message to come.
pub(super) struct Expected {
    replies: Arc<Replies>,
    id: u64,
    message: oneshot::Receiver<Message>,
}

impl Expected {
    /// Where it is to be sent.
    pub(super) fn subject(&self) -> String {
        format!("{}{}", self.replies.prefix, self.id)
    }

    /// The message; none if it will not come any more.
    pub(super) async fn message(&mut self) -> Option<Message> {
        (&mut self.message).await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.replies.waiting().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let replies = Arc::new(Replies::new());
        let mut kept = replies.expect();
        drop(replies.expect());
        assert_eq!(replies.waiting().len(), 1);
        replies.give_up();
        assert!(kept.message().await.is_none());
        assert_eq!(replies.waiting().len(), 0);
    }
}
