use super::*;
use crate::rtmp::chunk::{
    CHUNK_BYTES_MAX, CHUNK_SIZE_FIELD_MAX, CHUNK_STREAMS_MAX, ChunkError, ChunkReader,
    MESSAGE_BYTES_MAX, UNFINISHED_BYTES_MAX,
};
use bytes::BytesMut;

/// The first error that the reader returns.
fn complaint(bytes: &[u8]) -> ChunkError {
    let mut reader = ChunkReader::new();
    let mut input = BytesMut::from(bytes);
    loop {
        match reader.read(&mut input) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no complaint"),
            Err(error) => return error,
        }
    }
}

#[test]
fn chunk_size_zero_is_refused() {
    assert_eq!(
        complaint(&Encoder::new().set_chunk_size(0)),
        ChunkError::ChunkSize(0)
    );
}

#[test]
fn chunk_size_with_its_top_bit_set_is_refused() {
    let size = CHUNK_SIZE_FIELD_MAX + 1;
    assert_eq!(
        complaint(&Encoder::new().set_chunk_size(size)),
        ChunkError::ChunkSize(size)
    );
}

#[test]
fn chunk_size_over_any_message_means_whole_messages() {
    for size in [CHUNK_BYTES_MAX as u32 + 1, CHUNK_SIZE_FIELD_MAX] {
        let mut encoder = Encoder::new();
        let mut input = BytesMut::from(&encoder.set_chunk_size(size)[..]);
        let message = media(9, 40, vec![7; 300_000]);
        input.extend(encoder.encode(6, message.clone()).concat());
        assert_eq!(
            ChunkReader::new().read(&mut input),
            Ok(Some(message)),
            "{size}"
        );
    }
}

#[test]
fn chunk_size_of_three_bytes_is_refused() {
    let short = Message {
        body: Bytes::from_static(b"\0\0\x01"),
        ..control(message::SET_CHUNK_SIZE, 0)
    };
    let bytes = Encoder::new().encode(2, short).concat();
    assert_eq!(
        complaint(&bytes),
        ChunkError::ControlLength { kind: 1, length: 3 }
    );
}

#[test]
fn message_over_the_limit_is_refused_at_its_header() {
    let length = MESSAGE_BYTES_MAX + 1;
    let chunks = Encoder::new().encode(6, media(9, 0, vec![0; length]));
    assert_eq!(
        complaint(&chunks[0][..12]),
        ChunkError::MessageLength(length)
    );
}

#[test]
fn the_seventeenth_chunk_stream_is_refused() {
    let mut encoder = Encoder::new();
    let bytes: Vec<u8> = (0..=CHUNK_STREAMS_MAX as u32)
        .flat_map(|i| encoder.encode(2 + i, media(8, 0, "a")).concat())
        .collect();
    assert_eq!(complaint(&bytes), ChunkError::ChunkStreams(18));
}

#[test]
fn unfinished_messages_over_16_mib_are_refused() {
    let mut encoder = Encoder::new();
    let mut bytes = encoder.set_chunk_size((UNFINISHED_BYTES_MAX / 4) as u32);
    for i in 0..5 {
        let message = media(9, 0, vec![0; UNFINISHED_BYTES_MAX / 4 + 1]);
        bytes.extend(&encoder.encode(3 + i, message)[0]);
    }
    assert_eq!(
        complaint(&bytes),
        ChunkError::Unfinished(UNFINISHED_BYTES_MAX)
    );
}

#[test]
fn chunk_without_a_header_before_it_is_refused() {
    assert_eq!(
        complaint(b"\xc4"),
        ChunkError::NoHeader {
            kind: 3,
            chunk_stream: 4
        }
    );
    assert_eq!(
        complaint(b"\x84\0\0\0"),
        ChunkError::NoHeader {
            kind: 2,
            chunk_stream: 4
        }
    );
}

#[test]
fn header_inside_a_message_is_refused() {
    let chunk = &Encoder::new().encode(6, media(9, 0, vec![0; 129]))[0];
    let error = ChunkError::HeaderInsideMessage {
        kind: 0,
        chunk_stream: 6,
    };
    assert_eq!(complaint(&[&chunk[..], chunk].concat()), error);
}

#[test]
fn a_header_alone_takes_little_memory() {
    let mut encoder = Encoder::new();
    let chunks = encoder.encode(6, media(9, 0, vec![0; MESSAGE_BYTES_MAX]));
    let mut reader = ChunkReader::new();
    let mut input = BytesMut::from(&chunks[0][..]);
    assert_eq!(reader.read(&mut input), Ok(None));
    assert!(
        reader.memory_bytes() <= 64 << 10,
        "{} bytes",
        reader.memory_bytes()
    );
}
