//! Where a reader is, and what it gets.

use super::wire_frame::WireFrame;
use astral_media::frame::{GopEnd, GopStart};
use astral_proto::FrameId;
use std::sync::Arc;

/// The position of one reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The next frame for the reader.
    pub(super) next: FrameId,
    /// Whether the reader has had the start of its GOP.
    pub(super) started: bool,
}

impl Cursor {
    /// A reader whose first frame is `first`.
    pub fn at(first: FrameId) -> Self {
        Self {
            next: first,
            started: false,
        }
    }

    /// The GOP that the reader is in.
    pub fn gop(&self) -> u64 {
        self.next.gop
    }
}

/// What a reader gets, in order.
#[derive(Clone)]
pub enum Item {
    /// A GOP starts.
    Start(Arc<GopStart>),
    /// A frame.
    Frame(Arc<WireFrame>),
    /// The GOP is complete.
    End(GopEnd),
}
