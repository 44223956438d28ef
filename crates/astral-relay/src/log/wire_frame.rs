//! One frame in the forms that leave a relay.

use astral_media::frame::Frame;
use astral_media::{flv, record, rtmp};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// A frame and its wire forms. Each form is made when it is first asked for, and shared by all
/// readers.
///
/// The payload lies inside the FLV tag of the frame, so a tag is a single slice to write and there
/// is still only one copy of every byte. This layout costs one copy per frame, which also frees the
/// read buffer that the payload came in.
pub struct WireFrame {
    /// The frame. Its payload is a slice of the FLV tag.
    pub frame: Arc<Frame>,
    flv: Bytes,
    rtmp: OnceLock<Vec<Bytes>>,
    link: OnceLock<Bytes>,
}

impl WireFrame {
    /// Lays out `frame`.
    pub fn new(frame: &Frame) -> Self {
        let tag = flv::tag(frame);
        let flv = Bytes::from(tag.concat());
        let payload = flv.slice(tag[0].len()..tag[0].len() + frame.payload.len());
        let frame = Arc::new(Frame {
            payload,
            ..frame.clone()
        });
        Self {
            frame,
            flv,
            rtmp: OnceLock::new(),
            link: OnceLock::new(),
        }
    }

    /// As an FLV tag.
    pub fn flv(&self) -> &Bytes {
        &self.flv
    }

    /// As an RTMP message, in chunks.
    pub fn rtmp(&self) -> &[Bytes] {
        self.rtmp.get_or_init(|| rtmp::frame_message(&self.frame))
    }

    /// The head of its record on the relay link.
    pub fn link(&self) -> &Bytes {
        self.link.get_or_init(|| record::frame_head(&self.frame))
    }
}
