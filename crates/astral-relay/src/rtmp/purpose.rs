//! What the peer of an RTMP connection wants.

/// What a peer wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Send a stream in.
    Publish,
    /// Watch one.
    Play,
}
