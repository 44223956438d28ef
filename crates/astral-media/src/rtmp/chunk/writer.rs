//! Splits messages into chunks.

use super::{CHUNK_BYTES_MAX, CHUNK_BYTES_OUT, EXTENDED, STREAM_ID};
use crate::rtmp::message;
use bytes::{BufMut, Bytes, BytesMut};

/// Chunk stream of commands and their answers.
const COMMAND_CHUNK_STREAM: u8 = 3;
/// Chunk stream of protocol and user control messages (RTMP 1.0, 5.4).
const CONTROL_CHUNK_STREAM: u8 = 2;
/// Longest header of a first chunk, in bytes.
const HEAD_BYTES_MAX: usize = 16;

/// The type of a media message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// The body of an FLV audio tag.
    Audio,
    /// The body of an FLV video tag.
    Video,
    /// AMF0 values, such as `onMetaData`.
    Data,
}

impl MessageKind {
    fn head(self, timestamp: u32, stream_id: u32) -> Head {
        let (chunk_stream, kind) = match self {
            Self::Audio => (4, message::AUDIO),
            Self::Video => (6, message::VIDEO),
            Self::Data => (5, message::DATA_AMF0),
        };
        Head {
            chunk_stream,
            kind,
            timestamp,
            stream_id,
        }
    }
}

/// Returns the header of the first chunk of a message of `length` bytes: type 0, with an extended
/// timestamp if necessary.
///
/// # Panics
/// If `length` is larger than [`CHUNK_BYTES_MAX`], which a header cannot state.
pub fn message_head(kind: MessageKind, timestamp: u32, stream_id: u32, length: usize) -> Bytes {
    kind.head(timestamp, stream_id).bytes(length)
}

/// Returns a media message on [`STREAM_ID`], in pieces to be sent in order. The payload is shared,
/// not copied.
///
/// # Panics
/// If the payload is larger than [`CHUNK_BYTES_MAX`], which a header cannot state.
pub fn write_message(kind: MessageKind, timestamp: u32, payload: &[Bytes]) -> Vec<Bytes> {
    kind.head(timestamp, STREAM_ID).pieces(payload)
}

/// Appends a message that is not media.
pub(in crate::rtmp) fn put_message(
    output: &mut BytesMut,
    kind: u8,
    stream_id: u32,
    body: BytesMut,
) {
    let control = message::is_control(kind);
    let chunk_stream = if control {
        CONTROL_CHUNK_STREAM
    } else {
        COMMAND_CHUNK_STREAM
    };
    let head = Head {
        chunk_stream,
        kind,
        timestamp: 0,
        stream_id,
    };
    for piece in head.pieces(&[body.freeze()]) {
        output.put_slice(&piece);
    }
}

/// The header of a message, without the length.
struct Head {
    /// Chunk stream, 2 to 63.
    chunk_stream: u8,
    kind: u8,
    timestamp: u32,
    stream_id: u32,
}

impl Head {
    fn bytes(&self, length: usize) -> Bytes {
        assert!(
            length <= CHUNK_BYTES_MAX,
            "message of {length} bytes is over {CHUNK_BYTES_MAX}"
        );
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES_MAX);
        bytes.put_u8(self.chunk_stream);
        bytes.put_uint(u64::from(self.timestamp.min(EXTENDED)), 3);
        bytes.put_uint(length as u64, 3);
        bytes.put_u8(self.kind);
        bytes.put_u32_le(self.stream_id);
        self.put_extended(&mut bytes);
        bytes.freeze()
    }

    /// Writes the header of the second and later chunks: type 3.
    fn continuation(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(5);
        bytes.put_u8(0b1100_0000 | self.chunk_stream);
        self.put_extended(&mut bytes);
        bytes.freeze()
    }

    fn put_extended(&self, bytes: &mut BytesMut) {
        if self.timestamp >= EXTENDED {
            bytes.put_u32(self.timestamp);
        }
    }

    fn pieces(&self, payload: &[Bytes]) -> Vec<Bytes> {
        let length: usize = payload.iter().map(Bytes::len).sum();
        let mut pieces = Vec::with_capacity(1 + payload.len() + 2 * (length / CHUNK_BYTES_OUT));
        pieces.push(self.bytes(length));
        let mut room = CHUNK_BYTES_OUT;
        for part in payload {
            let mut rest = part.clone();
            while !rest.is_empty() {
                if room == 0 {
                    pieces.push(self.continuation());
                    room = CHUNK_BYTES_OUT;
                }
                let piece = rest.split_to(room.min(rest.len()));
                room -= piece.len();
                pieces.push(piece);
            }
        }
        pieces
    }
}
