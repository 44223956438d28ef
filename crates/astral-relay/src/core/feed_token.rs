//! The right to append to a stream's log.

use astral_proto::message::FenceReason;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// The right to append to a stream's log. Whoever starts to feed the stream gets a new token, and
/// the previous one is revoked. All clones are the same token.
#[derive(Clone, Debug)]
pub struct FeedToken {
    revoked: CancellationToken,
    reason: Arc<OnceLock<FenceReason>>,
}

impl FeedToken {
    pub(super) fn new() -> Self {
        Self {
            revoked: CancellationToken::new(),
            reason: Arc::default(),
        }
    }

    /// Cancelled when the token is revoked.
    pub fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    /// Whether the token is revoked.
    pub fn is_revoked(&self) -> bool {
        self.revoked.is_cancelled()
    }

    /// Why the token was revoked; unknown if it was not, or if nobody said.
    pub fn reason(&self) -> FenceReason {
        self.reason.get().copied().unwrap_or_default()
    }

    /// Whether both are the same token.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.reason, &other.reason)
    }

    /// Revokes the token. The reason is stored first, so that whoever sees the cancellation can
    /// read it.
    pub(super) fn revoke(&self, reason: FenceReason) {
        self.reason.get_or_init(|| reason);
        self.revoked.cancel();
    }
}
