//! Chunks into messages.

use super::{
    CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MAX, CHUNK_SIZE_FIELD_MAX, CHUNK_STREAMS_MAX, ChunkError,
    EXTENDED, MESSAGE_BYTES_MAX, Message, UNFINISHED_BYTES_MAX, UNFINISHED_COMMAND_BYTES_MAX,
};
use crate::rtmp::message::{ABORT, SET_CHUNK_SIZE};
use bytes::{Buf, Bytes, BytesMut};

/// Most memory that a message's header alone makes the reader take.
const EAGER_BYTES_MAX: usize = 64 << 10;

/// Puts a peer's chunks together again; obeys Set Chunk Size and Abort itself.
pub struct ChunkReader {
    chunk_bytes: usize,
    streams: Vec<ChunkStream>,
    open: Option<OpenChunk>,
    unfinished_bytes: usize,
    unfinished_bytes_max: usize,
}

/// A chunk whose header has been read.
#[derive(Clone, Copy)]
struct OpenChunk {
    stream: usize,
    left: usize,
}

struct ChunkStream {
    id: u32,
    timestamp: u32,
    /// The last timestamp field: of a type 0 chunk the timestamp itself, which type 3 chunks count as a delta.
    delta: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream_id: u32,
    body: Vec<u8>,
}

/// What a chunk's header says; fields that its type lacks are filled in from the chunk stream.
struct Header {
    bytes: usize,
    delta: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream_id: u32,
}

/// The chunk type and chunk stream of the next chunk, and the bytes they take.
struct BasicHeader {
    kind: u8,
    chunk_stream: u32,
    bytes: usize,
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
    /// A reader at the start of a connection, after the handshake.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for a peer that is not known yet: no room for media.
    pub fn of_commands() -> Self {
        Self {
            unfinished_bytes_max: UNFINISHED_COMMAND_BYTES_MAX,
            ..Self::default()
        }
    }

    /// Has room for media from now on.
    pub fn take_media(&mut self) {
        self.unfinished_bytes_max = UNFINISHED_BYTES_MAX;
    }

    /// The next whole message, taken from the front of `input`; none when `input` must grow first.
    ///
    /// What is left in `input` then is less than a chunk header, so it stays as small as what is read at once.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        loop {
            let Some(open) = self.open_chunk(input)? else {
                return Ok(None);
            };
            if !self.take_payload(open, input)? {
                return Ok(None);
            }
            if let Some(message) = self.finished(open.stream)
                && let Some(message) = self.obey(message)?
            {
                return Ok(Some(message));
            }
        }
    }

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
        self.streams[stream].follow(basic.kind, &header)?;
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

    /// Moves what `input` has of the open chunk's payload; says whether that was all of it.
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

    /// Does what the message says if it concerns chunks; gives it back if not.
    fn obey(&mut self, message: Message) -> Result<Option<Message>, ChunkError> {
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
        // Some encoders announce all 31 bits. No message is longer than the limit, so no chunk is either.
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

impl ChunkStream {
    fn new(id: u32) -> Self {
        let body = Vec::new();
        Self {
            id,
            timestamp: 0,
            delta: 0,
            extended: false,
            length: 0,
            kind: 0,
            stream_id: 0,
            body,
        }
    }

    fn left(&self) -> usize {
        self.length - self.body.len()
    }

    /// Takes in a header: of a further chunk of the message in hand, or of the first of the next.
    fn follow(&mut self, kind: u8, header: &Header) -> Result<(), ChunkError> {
        if !self.body.is_empty() {
            return match kind {
                3 => Ok(()),
                _ => Err(ChunkError::HeaderInsideMessage {
                    kind,
                    chunk_stream: self.id,
                }),
            };
        }
        self.timestamp = if kind == 0 {
            header.delta
        } else {
            self.timestamp.wrapping_add(header.delta)
        };
        self.delta = header.delta;
        self.extended = header.extended;
        self.length = header.length;
        self.kind = header.kind;
        self.stream_id = header.stream_id;
        Ok(())
    }

    /// Appends without ever holding much more than has come, or than the message will be in the end.
    fn append(&mut self, bytes: &[u8]) {
        if self.body.capacity() - self.body.len() < bytes.len() {
            let eager = self.body.len().max(EAGER_BYTES_MAX).max(bytes.len());
            self.body.reserve_exact(eager.min(self.left()));
        }
        self.body.extend_from_slice(bytes);
    }
}

fn basic_header(input: &[u8]) -> Option<BasicHeader> {
    let first = *input.first()?;
    let (chunk_stream, bytes) = match first & 0x3F {
        0 => (64 + u32::from(*input.get(1)?), 2),
        1 => (
            64 + u32::from(*input.get(1)?) + 256 * u32::from(*input.get(2)?),
            3,
        ),
        id => (u32::from(id), 1),
    };
    Some(BasicHeader {
        kind: first >> 6,
        chunk_stream,
        bytes,
    })
}

fn message_header(
    input: &[u8],
    basic: &BasicHeader,
    known: Option<&ChunkStream>,
) -> Result<Option<Header>, ChunkError> {
    if basic.kind == 3 {
        let stream = known.ok_or(ChunkError::NoHeader {
            kind: 3,
            chunk_stream: basic.chunk_stream,
        })?;
        return Ok(continuation(&input[basic.bytes..], stream, basic.bytes));
    }
    let Some(header) = stated_header(input, basic, known) else {
        return Ok(None);
    };
    // librtmp opens chunk stream 2 with type 1. Type 2, which some DJI cameras send, leaves the length unknown: where the
    // message ends cannot be told, and SRS and MediaMTX close such a connection as well.
    if basic.kind == 2 && known.is_none() {
        return Err(ChunkError::NoHeader {
            kind: 2,
            chunk_stream: basic.chunk_stream,
        });
    }
    if header.length > MESSAGE_BYTES_MAX {
        return Err(ChunkError::MessageLength(header.length));
    }
    Ok(Some(header))
}

/// The header of a chunk of type 0, 1 or 2, if it is all there.
fn stated_header(input: &[u8], basic: &BasicHeader, known: Option<&ChunkStream>) -> Option<Header> {
    let fields_bytes = [11, 7, 3][usize::from(basic.kind)];
    let (fields, rest) = input.get(basic.bytes..)?.split_at_checked(fields_bytes)?;
    let field = u24(fields);
    let extended = field == EXTENDED;
    let delta = if extended {
        u32::from_be_bytes(*rest.first_chunk()?)
    } else {
        field
    };
    let (length, kind) = match basic.kind {
        2 => (
            known.map_or(0, |stream| stream.length),
            known.map_or(0, |stream| stream.kind),
        ),
        _ => (u24(&fields[3..]) as usize, fields[6]),
    };
    let stream_id = match basic.kind {
        0 => u32::from_le_bytes(*fields[7..].first_chunk()?),
        _ => known.map_or(0, |stream| stream.stream_id),
    };
    let bytes = basic.bytes + fields_bytes + if extended { 4 } else { 0 };
    Some(Header {
        bytes,
        delta,
        extended,
        length,
        kind,
        stream_id,
    })
}

/// The header of a chunk of type 3, if it is all there.
fn continuation(rest: &[u8], stream: &ChunkStream, basic_bytes: usize) -> Option<Header> {
    let extended_bytes = if stream.extended {
        repeated_timestamp(rest, stream.delta)?
    } else {
        0
    };
    Some(Header {
        bytes: basic_bytes + extended_bytes,
        delta: stream.delta,
        extended: stream.extended,
        length: stream.length,
        kind: stream.kind,
        stream_id: stream.stream_id,
    })
}

/// How many bytes repeat the extended timestamp before the payload in `rest`: some encoders leave it out, so only
/// bytes that say the same are it. None while they may still turn out to be.
fn repeated_timestamp(rest: &[u8], timestamp: u32) -> Option<usize> {
    let expected = timestamp.to_be_bytes();
    let present = rest.len().min(expected.len());
    match rest[..present] == expected[..present] {
        false => Some(0),
        true if present == expected.len() => Some(present),
        true => None,
    }
}

fn u24(bytes: &[u8]) -> u32 {
    u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2])
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
    /// What the bodies of unfinished messages take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.streams
            .iter()
            .map(|stream| stream.body.capacity())
            .sum()
    }
}
