//! A [`Feed`] that tasks share.

use super::feed::Feed;
use tokio::sync::watch;

/// A [`Feed`] behind one lock. Whoever waits for it is woken only when its stage changes, so a
/// publisher may note its progress with every frame without waking anybody.
#[derive(Debug)]
pub struct SharedFeed(watch::Sender<Feed>);

impl SharedFeed {
    /// Nobody feeds the stream.
    pub fn new() -> Self {
        Self(watch::Sender::new(Feed::Idle))
    }

    /// Calls `read` with the present state. It must not take other locks.
    pub fn read<T>(&self, read: impl FnOnce(&Feed) -> T) -> T {
        read(&self.0.borrow())
    }

    /// Makes one transition. It must not take other locks.
    pub fn update<T>(&self, transition: impl FnOnce(&mut Feed) -> T) -> T {
        let mut outcome = None;
        self.0.send_if_modified(|feed| {
            let before = feed.stage();
            outcome = Some(transition(feed));
            feed.stage() != before
        });
        outcome.expect("the closure ran once")
    }

    /// Follows the changes of the stage.
    pub fn subscribe(&self) -> watch::Receiver<Feed> {
        self.0.subscribe()
    }
}
