//! Message types, control messages and aggregates (RTMP 1.0, 5.4 and 7.1).

use super::SessionError;
use super::chunk::Message;
use bytes::{Buf, Bytes};

/// Set Chunk Size.
pub(super) const SET_CHUNK_SIZE: u8 = 1;
/// Abort.
pub(super) const ABORT: u8 = 2;
/// Acknowledgement.
pub(super) const ACKNOWLEDGEMENT: u8 = 3;
/// User control.
pub(super) const USER_CONTROL: u8 = 4;
/// Window Acknowledgement Size.
pub(super) const WINDOW_SIZE: u8 = 5;
/// Set Peer Bandwidth.
pub(super) const PEER_BANDWIDTH: u8 = 6;
/// Audio.
pub(super) const AUDIO: u8 = 8;
/// Video.
pub(super) const VIDEO: u8 = 9;
/// Data in AMF3.
pub(super) const DATA_AMF3: u8 = 15;
/// A command in AMF3.
pub(super) const COMMAND_AMF3: u8 = 17;
/// Data in AMF0.
pub(super) const DATA_AMF0: u8 = 18;
/// A command in AMF0.
pub(super) const COMMAND_AMF0: u8 = 20;
/// Aggregate.
pub(super) const AGGREGATE: u8 = 22;

/// User control event: a stream begins.
pub(super) const STREAM_BEGIN: u16 = 0;
/// User control event: a stream has ended.
pub(super) const STREAM_EOF: u16 = 1;
/// User control event: a ping.
pub(super) const PING_REQUEST: u16 = 6;
/// User control event: the answer to a ping.
pub(super) const PING_RESPONSE: u16 = 7;

/// Header of a part of an aggregate: an FLV tag header.
const PART_HEADER_BYTES: usize = 11;
/// After each part of an aggregate comes its length.
const BACK_POINTER_BYTES: usize = 4;

/// Returns whether messages of this type use chunk stream 2 and message stream 0.
pub(super) fn is_control(kind: u8) -> bool {
    (SET_CHUNK_SIZE..=PEER_BANDWIDTH).contains(&kind)
}

/// Returns the first `N` bytes of a control message.
pub(super) fn control_field<const N: usize>(message: &Message) -> Result<[u8; N], SessionError> {
    message
        .body
        .first_chunk::<N>()
        .copied()
        .ok_or(SessionError::ControlLength {
            kind: message.kind,
            length: message.body.len(),
            least: N,
        })
}

/// The remaining parts of an aggregate message.
pub(super) struct Aggregate {
    timestamp: u32,
    stream_id: u32,
    /// The timestamp of the first part. It corresponds to that of the aggregate.
    first: Option<u32>,
    rest: Bytes,
}

impl Aggregate {
    /// Splits `message`, whose type is [`AGGREGATE`].
    pub(super) fn new(message: Message) -> Self {
        Self {
            timestamp: message.timestamp,
            stream_id: message.stream_id,
            first: None,
            rest: message.body,
        }
    }

    /// Returns the next part as a message.
    pub(super) fn next(&mut self) -> Result<Option<Message>, SessionError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.need(PART_HEADER_BYTES)?;
        let kind = self.rest.get_u8() & 0x1F;
        let length = self.rest.get_uint(3) as usize;
        let low = self.rest.get_uint(3) as u32;
        let own = u32::from(self.rest.get_u8()) << 24 | low;
        self.rest.advance(3);
        self.need(length)?;
        let body = self.rest.split_to(length);
        // Some encoders omit the last one.
        self.rest.advance(BACK_POINTER_BYTES.min(self.rest.len()));

        let offset = own.wrapping_sub(*self.first.get_or_insert(own));
        let timestamp = self.timestamp.wrapping_add(offset);
        Ok(Some(Message {
            kind,
            timestamp,
            stream_id: self.stream_id,
            body,
        }))
    }

    fn need(&self, length: usize) -> Result<(), SessionError> {
        match length.checked_sub(self.rest.len()) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(SessionError::Aggregate { missing }),
        }
    }
}
