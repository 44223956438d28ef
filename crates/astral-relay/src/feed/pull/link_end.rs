//! How a link ends.

use crate::failover_cause::FailoverCause;

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The stream has ended.
    StreamEnded,
    /// The provider failed.
    Failed(FailoverCause),
    /// The provider does not serve this relay.
    Refused(FailoverCause),
    /// The frame that is due has left the provider's log.
    FrameGone,
}

impl LinkEnd {
    /// Why the provider is left; None if the stream has ended.
    pub fn cause(self) -> Option<FailoverCause> {
        match self {
            LinkEnd::StreamEnded => None,
            LinkEnd::Failed(cause) | LinkEnd::Refused(cause) => Some(cause),
            LinkEnd::FrameGone => Some(FailoverCause::Gone),
        }
    }
}
