//! Tests the reader and the writer with a separate encoder.

mod limits;
mod reading;
mod writing;

use super::{CHUNK_BYTES_DEFAULT, EXTENDED, Message};
use crate::rtmp::message;
use bytes::Bytes;
use std::collections::HashMap;

/// Chunks as an encoder makes them.
pub(in crate::rtmp) struct Encoder {
    /// The chunk size in force.
    pub chunk_bytes: usize,
    /// Whether type 3 chunks repeat the extended timestamp.
    pub repeats_extended: bool,
    sent: HashMap<u32, Message>,
}

impl Encoder {
    pub(in crate::rtmp) fn new() -> Self {
        Self {
            chunk_bytes: CHUNK_BYTES_DEFAULT,
            repeats_extended: true,
            sent: HashMap::new(),
        }
    }

    /// Announces a chunk size, and uses it from then on.
    pub(in crate::rtmp) fn set_chunk_size(&mut self, bytes: u32) -> Vec<u8> {
        let announcement = self
            .encode(2, control(message::SET_CHUNK_SIZE, bytes))
            .concat();
        self.chunk_bytes = bytes as usize;
        announcement
    }

    /// The chunks of a message with a header of type 0.
    pub(in crate::rtmp) fn encode(&mut self, chunk_stream: u32, message: Message) -> Vec<Vec<u8>> {
        self.encode_as(0, chunk_stream, message)
    }

    /// The chunks of a message with the shortest header from `kind` down that can state it.
    pub(in crate::rtmp) fn encode_as(
        &mut self,
        kind: u8,
        chunk_stream: u32,
        message: Message,
    ) -> Vec<Vec<u8>> {
        let (kind, delta) = self.header_kind(kind, chunk_stream, &message);
        let extended = if delta >= EXTENDED {
            delta.to_be_bytes().to_vec()
        } else {
            Vec::new()
        };
        let field = delta.min(EXTENDED).to_be_bytes();
        let length = (message.body.len() as u32).to_be_bytes();
        let stream_id = message.stream_id.to_le_bytes();
        let fields = [&field[1..], &length[1..], &[message.kind], &stream_id].concat();
        let first = [
            &basic(kind, chunk_stream),
            &fields[..[11, 7, 3][usize::from(kind)]],
            &extended,
        ]
        .concat();
        let repeated = if self.repeats_extended {
            extended
        } else {
            Vec::new()
        };
        let next = [basic(3, chunk_stream), repeated].concat();

        let mut payloads = message.body.chunks(self.chunk_bytes);
        let mut chunks = vec![[first, payloads.next().unwrap_or_default().to_vec()].concat()];
        chunks.extend(payloads.map(|payload| [&next[..], payload].concat()));
        self.sent.insert(chunk_stream, message);
        chunks
    }

    fn header_kind(&self, kind: u8, chunk_stream: u32, message: &Message) -> (u8, u32) {
        match self.sent.get(&chunk_stream) {
            Some(last) if kind > 0 && last.stream_id == message.stream_id => {
                let same = last.kind == message.kind && last.body.len() == message.body.len();
                (
                    if same { kind } else { 1 },
                    message.timestamp.wrapping_sub(last.timestamp),
                )
            }
            _ => (0, message.timestamp),
        }
    }
}

fn basic(kind: u8, chunk_stream: u32) -> Vec<u8> {
    let top = kind << 6;
    match chunk_stream {
        2..64 => vec![top | chunk_stream as u8],
        64..320 => vec![top, (chunk_stream - 64) as u8],
        _ => vec![
            top | 1,
            ((chunk_stream - 64) % 256) as u8,
            ((chunk_stream - 64) / 256) as u8,
        ],
    }
}

/// A message on the stream that is published.
pub(in crate::rtmp) fn media(kind: u8, timestamp: u32, body: impl Into<Bytes>) -> Message {
    Message {
        kind,
        timestamp,
        stream_id: 1,
        body: body.into(),
    }
}

/// A control message that contains one number.
pub(in crate::rtmp) fn control(kind: u8, value: u32) -> Message {
    Message {
        kind,
        timestamp: 0,
        stream_id: 0,
        body: value.to_be_bytes().to_vec().into(),
    }
}
