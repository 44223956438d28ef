//! Chunk headers (RTMP 1.0, 5.3.1).

use super::stream::ChunkStream;
use super::{ChunkError, EXTENDED, MESSAGE_BYTES_MAX};

/// The header of a chunk. Fields that its type does not have are those of the chunk stream.
pub(super) struct Header {
    /// Size of the header.
    pub(super) bytes: usize,
    /// The timestamp field: an absolute time in type 0, a difference otherwise.
    pub(super) delta: u32,
    pub(super) extended: bool,
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) stream_id: u32,
}

/// The first part of a header: the chunk type and the chunk stream.
pub(super) struct BasicHeader {
    pub(super) kind: u8,
    pub(super) chunk_stream: u32,
    /// Size of this part of the header.
    pub(super) bytes: usize,
}

/// Reads the basic header at the start of `input`; `None` until all of it has arrived.
pub(super) fn basic_header(input: &[u8]) -> Option<BasicHeader> {
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

/// Reads the header whose basic header is `basic`; `None` until all of it has arrived. `known` is
/// the chunk stream, if it has been used before.
pub(super) fn message_header(
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
    // librtmp begins chunk stream 2 with type 1, which is accepted. Some DJI cameras begin one with
    // type 2. That leaves the length unknown, so nobody can tell where the message ends. SRS and
    // MediaMTX also close such a connection.
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

/// Reads the header of a chunk of type 0, 1 or 2; `None` until all of it has arrived.
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

/// Returns the header of a chunk of type 3; `None` until all of it has arrived.
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

/// Returns the size of the extended timestamp that is repeated before the payload in `rest`.
///
/// The specification requires type 3 chunks to repeat it, but some encoders omit it. So four bytes
/// count as a repetition only if they have the same value. Returns `None` while too few bytes have
/// arrived to decide.
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
