//! Answers that are waited for. One subscription takes them all; who gives up leaves nothing behind.

use crate::bus::wire::{Answer, Heard};
use astral_runtime::lock;
use async_nats::{Message, StatusCode, Subject};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::mpsc;

/// Words on one request that wait for whoever asked.
const HEARD_MAX: usize = 64;
/// Room among them that is kept for answers.
const KEPT_FOR_ANSWERS: usize = 16;

/// Who waits for what.
pub(super) struct Replies {
    /// Of the subjects that answers go to; ends in a dot.
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, mpsc::Sender<Message>>>,
}

impl Replies {
    pub(super) fn new() -> Self {
        let prefix = format!("_INBOX.{:032x}.", rand::random::<u128>());
        Self {
            prefix,
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// What to subscribe to.
    pub(super) fn pattern(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// Expects messages until it is dropped.
    pub(super) fn expect(self: &Arc<Self>) -> Expected {
        let (sender, messages) = mpsc::channel(HEARD_MAX);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(id, sender);
        Expected {
            replies: Arc::clone(self),
            id,
            messages,
        }
    }

    /// Hands `message` to who waits for it, if anybody still does.
    pub(super) fn take_in(&self, message: Message) {
        let waiting = self
            .id(&message.subject)
            .and_then(|id| self.waiting().get(&id).cloned());
        let Some(sender) = waiting else { return };
        if !super::is_working(&message) || sender.capacity() > KEPT_FOR_ANSWERS {
            drop(sender.try_send(message));
        }
    }

    /// Lets nobody wait any longer: the answers have gone nowhere.
    pub(super) fn give_up(&self) {
        self.waiting().clear();
    }

    fn id(&self, subject: &Subject) -> Option<u64> {
        subject.strip_prefix(self.prefix.as_str())?.parse().ok()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<Message>>> {
        lock(&self.waiting)
    }
}

/// Messages to come.
pub(in crate::bus) struct Expected {
    replies: Arc<Replies>,
    id: u64,
    messages: mpsc::Receiver<Message>,
}

impl Expected {
    /// Where they are to be sent.
    pub(super) fn subject(&self) -> String {
        format!("{}{}", self.replies.prefix, self.id)
    }

    /// The next message; none if none will come any more.
    pub(super) async fn message(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// The next message, as what it says of the request.
    pub(in crate::bus) async fn next(&mut self) -> Option<Heard> {
        let message = self.message().await?;
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Some(Heard::Nobody);
        }
        let replica = super::replica(message.headers.as_ref());
        if super::is_working(&message) {
            return Some(replica.map_or(Heard::Nobody, Heard::Working));
        }
        let code = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(super::CODE));
        let answer = Answer::received(code.map(|code| code.as_str()), message.payload);
        Some(Heard::Answer(replica, answer))
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
