//! A link that can take over.

use super::arrived::Arrived;
use super::connection::Wire;
use crate::observe::LinkSpan;

/// An open link that has brought the next frame, or has shown that there is none yet.
pub struct ReadyLink {
    /// Its socket.
    pub wire: Wire,
    /// What it has brought and nobody has taken yet.
    pub arrived: Arrived,
    /// Its span.
    pub span: LinkSpan,
}
