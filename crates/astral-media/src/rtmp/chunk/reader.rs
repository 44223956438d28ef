//! Puts chunks together into messages.
//!
//! A message is split into chunks, and the chunks of several messages may alternate on a
//! connection. Each belongs to a chunk stream. A chunk begins with a header, which may refer to the
//! header before it on its chunk stream. The chunk ends when the message is complete or the chunk
//! size is reached.

use super::header::{basic_header, message_header};
use super::stream::ChunkStream;
use super::{
    CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MAX, CHUNK_SIZE_FIELD_MAX, CHUNK_STREAMS_MAX, ChunkError,
    Message, UNFINISHED_BYTES_MAX, UNFINISHED_COMMAND_BYTES_MAX,
};
use crate::rtmp::message::{ABORT, SET_CHUNK_SIZE};
use bytes::{Buf, Bytes, BytesMut};

/// Reads messages from the chunks of a peer. It handles Set Chunk Size and Abort itself.
pub struct ChunkReader {
    /// The chunk size that the peer has set.
    chunk_bytes: usize,
    streams: Vec<ChunkStream>,
    /// The chunk whose header was read and whose payload has not arrived completely.
    open: Option<OpenChunk>,
    /// Bytes of memory that the unfinished messages of all chunk streams take.
    unfinished_bytes: usize,
    unfinished_bytes_max: usize,
}

#[derive(Clone, Copy)]
struct OpenChunk {
    /// Index of its chunk stream.
    stream: usize,
    /// Bytes of its payload that have not arrived.
    left: usize,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self {
            chunk_bytes: CHUNK_BYTES_DEFAULT,
            streams: Vec::new(),
            open: None,
            unfinished_bytes: 0,
            unfinished_bytes_max: UNFINISHED_BYTES_MAX,
        }
    }
}

impl ChunkReader {
    /// Creates a reader that accepts media.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a reader that has room only for commands, for a peer that has no permission yet.
    pub fn for_commands() -> Self {
        Self {
            unfinished_bytes_max: UNFINISHED_COMMAND_BYTES_MAX,
            ..Self::default()
        }
    }

    /// Makes room for media.
    pub fn accept_media(&mut self) {
        self.unfinished_bytes_max = UNFINISHED_BYTES_MAX;
    }

    /// Removes the next complete message from the front of `input`. Returns `None` until more bytes
    /// have arrived. Less than a chunk header then stays in `input`, so `input` never grows beyond
    /// one read from the socket.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        loop {
            let Some(open) = self.open_chunk(input)? else {
                return Ok(None);
            };
            if !self.take_payload(open, input)? {
                return Ok(None);
            }
            if let Some(message) = self.finished(open.stream)
                && let Some(message) = self.handle_control(message)?
            {
                return Ok(Some(message));
            }
        }
    }

    /// Returns the open chunk, or reads the header of the next one. Nothing is removed from `input`
    /// before a whole header has arrived.
    fn open_chunk(&mut self, input: &mut BytesMut) -> Result<Option<OpenChunk>, ChunkError> {
        if self.open.is_some() {
            return Ok(self.open);
        }
        let Some(basic) = basic_header(input) else {
            return Ok(None);
        };
        let known = self
            .streams
            .iter()
            .position(|stream| stream.id == basic.chunk_stream);
        let Some(header) = message_header(input, &basic, known.map(|index| &self.streams[index]))?
        else {
            return Ok(None);
        };
        let stream = match known {
            Some(index) => index,
            None => self.add_stream(basic.chunk_stream)?,
        };
        input.advance(header.bytes);
        self.streams[stream].begin_chunk(basic.kind, &header)?;
        let left = self.chunk_bytes.min(self.streams[stream].left());
        self.open = Some(OpenChunk { stream, left });
        Ok(self.open)
    }

    fn add_stream(&mut self, id: u32) -> Result<usize, ChunkError> {
        if self.streams.len() == CHUNK_STREAMS_MAX {
            return Err(ChunkError::ChunkStreams(id));
        }
        self.streams.push(ChunkStream::new(id));
        Ok(self.streams.len() - 1)
    }

    /// Moves payload of the open chunk from `input` to its message. Returns whether the chunk is
    /// complete.
    fn take_payload(&mut self, open: OpenChunk, input: &mut BytesMut) -> Result<bool, ChunkError> {
        let taken = open.left.min(input.len());
        self.unfinished_bytes += taken;
        if self.unfinished_bytes > self.unfinished_bytes_max {
            return Err(ChunkError::Unfinished(self.unfinished_bytes_max));
        }
        self.streams[open.stream].append(&input[..taken]);
        input.advance(taken);
        let left = open.left - taken;
        self.open = (left > 0).then_some(OpenChunk { left, ..open });
        Ok(left == 0)
    }

    /// Returns the message of a chunk stream if it is complete.
    fn finished(&mut self, stream: usize) -> Option<Message> {
        let stream = &mut self.streams[stream];
        if stream.left() > 0 {
            return None;
        }
        self.unfinished_bytes -= stream.body.len();
        Some(Message {
            kind: stream.kind,
            timestamp: stream.timestamp,
            stream_id: stream.stream_id,
            body: Bytes::from(std::mem::take(&mut stream.body)),
        })
    }

    /// Handles a message that concerns chunks. Returns all other messages.
    fn handle_control(&mut self, message: Message) -> Result<Option<Message>, ChunkError> {
        match message.kind {
            SET_CHUNK_SIZE => self.set_chunk_size(control_value(&message)?)?,
            ABORT => self.abort(control_value(&message)?),
            _ => return Ok(Some(message)),
        }
        Ok(None)
    }

    fn set_chunk_size(&mut self, size: u32) -> Result<(), ChunkError> {
        if size == 0 || size > CHUNK_SIZE_FIELD_MAX {
            return Err(ChunkError::ChunkSize(size));
        }
        // Some encoders announce the largest number. No message is that long, so no chunk is
        // either.
        self.chunk_bytes = CHUNK_BYTES_MAX.min(size as usize);
        Ok(())
    }

    fn abort(&mut self, chunk_stream: u32) {
        if let Some(stream) = self
            .streams
            .iter_mut()
            .find(|stream| stream.id == chunk_stream)
        {
            self.unfinished_bytes -= stream.body.len();
            stream.body = Vec::new();
        }
    }
}

fn control_value(message: &Message) -> Result<u32, ChunkError> {
    let bytes = message.body.first_chunk();
    let value = bytes.map(|bytes| u32::from_be_bytes(*bytes));
    value.ok_or(ChunkError::ControlLength {
        kind: message.kind,
        length: message.body.len(),
    })
}

#[cfg(test)]
impl ChunkReader {
    /// Returns the memory that unfinished messages take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.streams
            .iter()
            .map(|stream| stream.body.capacity())
            .sum()
    }
}
