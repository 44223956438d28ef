use super::*;
use crate::rtmp::chunk::ChunkReader;
use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

fn read_all(reader: &mut ChunkReader, bytes: &[u8]) -> Vec<Message> {
    let mut input = BytesMut::from(bytes);
    std::iter::from_fn(|| reader.read(&mut input).unwrap()).collect()
}

/// The messages that the reader returns for bytes that come a piece at a time.
fn read_pieces(bytes: &[u8], pieces: impl IntoIterator<Item = usize>) -> Vec<Message> {
    let mut reader = ChunkReader::new();
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    let mut rest = bytes;
    let pieces = pieces.into_iter().chain(std::iter::repeat(usize::MAX));
    for piece in pieces {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(piece.min(rest.len()));
        input.extend_from_slice(now);
        rest = later;
        while let Some(message) = reader.read(&mut input).unwrap() {
            messages.push(message);
        }
        assert!(
            input.len() < 18,
            "{} bytes stay with the caller",
            input.len()
        );
    }
    messages
}

fn timestamp() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..50_000u32,
        EXTENDED - 2..EXTENDED + 2,
        u32::MAX - 50..u32::MAX,
        any::<u32>()
    ]
}

fn messages() -> impl Strategy<Value = Vec<(u8, u32, Message)>> {
    let message = (8..10u8, timestamp(), 0..600usize, any::<u8>());
    let message = message
        .prop_map(|(kind, timestamp, length, byte)| media(kind, timestamp, vec![byte; length]));
    vec(
        (
            0..3u8,
            prop_oneof![
                Just(3u32),
                Just(63),
                Just(64),
                Just(319),
                Just(320),
                Just(65_599)
            ],
            message,
        ),
        0..12,
    )
}

proptest! {
    #[test]
    fn any_split_of_any_chunks_gives_the_same_messages(
        messages in messages(),
        chunk_bytes in 1..700u32,
        pieces in vec(1..400usize, 0..60),
        repeats_extended: bool,
    ) {
        let mut encoder = Encoder::new();
        encoder.repeats_extended = repeats_extended;
        let mut bytes = encoder.set_chunk_size(chunk_bytes);
        let mut expected = Vec::new();
        for (kind, chunk_stream, message) in messages {
            // If the timestamp is not repeated, a payload that begins like the timestamp cannot be
            // told from a repetition.
            if !repeats_extended && message.timestamp.to_be_bytes()[0] == message.body.first().copied().unwrap_or(0) {
                continue;
            }
            expected.push(message.clone());
            bytes.extend(encoder.encode_as(if repeats_extended { kind } else { 0 }, chunk_stream, message).concat());
        }
        prop_assert_eq!(read_pieces(&bytes, pieces), expected.clone());
        prop_assert_eq!(read_pieces(&bytes, vec![1; bytes.len()]), expected);
    }

    #[test]
    fn garbage_never_panics(bytes in vec(any::<u8>(), 0..2000)) {
        let mut reader = ChunkReader::new();
let mut input = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = reader.read(&mut input) {}
    }
}

#[test]
fn messages_with_interleaved_chunks_are_read() {
    let mut encoder = Encoder::new();
    let video = media(9, 40, vec![9; 500]);
    let audio = media(8, 41, vec![8; 300]);
    let videos = encoder.encode(6, video.clone());
    let mut audios = encoder.encode(4, audio.clone()).into_iter();
    let mut bytes = Vec::new();
    for chunk in videos {
        bytes.extend(chunk);
        bytes.extend(audios.next().unwrap_or_default());
    }
    assert_eq!(read_all(&mut ChunkReader::new(), &bytes), [audio, video]);
}

#[test]
fn type_3_chunk_that_starts_a_message_repeats_the_delta() {
    let mut encoder = Encoder::new();
    let mut bytes = encoder.encode(4, media(8, 1000, "a")).concat();
    bytes.extend(encoder.encode_as(2, 4, media(8, 1023, "b")).concat());
    bytes.extend(b"\xc4c\xc4d");
    let timestamps: Vec<_> = read_all(&mut ChunkReader::new(), &bytes)
        .iter()
        .map(|m| m.timestamp)
        .collect();
    assert_eq!(timestamps, [1000, 1023, 1046, 1069]);
}

#[test]
fn timestamps_wrap() {
    let mut encoder = Encoder::new();
    let mut bytes = encoder.encode(4, media(8, u32::MAX - 9, "a")).concat();
    bytes.extend(encoder.encode_as(2, 4, media(8, 10, "b")).concat());
    let timestamps: Vec<_> = read_all(&mut ChunkReader::new(), &bytes)
        .iter()
        .map(|m| m.timestamp)
        .collect();
    assert_eq!(timestamps, [u32::MAX - 9, 10]);
}

#[test]
fn extended_timestamp_may_be_missing_in_later_chunks() {
    for repeats_extended in [true, false] {
        let mut encoder = Encoder::new();
        encoder.repeats_extended = repeats_extended;
        let message = media(9, 0x0123_4567, vec![7; 400]);
        let bytes = encoder.encode(6, message.clone()).concat();
        assert_eq!(read_all(&mut ChunkReader::new(), &bytes), [message]);
    }
}

/// Goal: the last byte of a message is not held back while it might be an extended timestamp.
/// Method: a second chunk of one byte, without the repetition.
#[test]
fn short_last_chunk_without_extended_timestamp_is_not_waited_on() {
    let mut encoder = Encoder::new();
    encoder.repeats_extended = false;
    let message = media(9, EXTENDED + 1, vec![7; 129]);
    let bytes = encoder.encode(6, message.clone()).concat();
    assert_eq!(read_all(&mut ChunkReader::new(), &bytes), [message]);
}

#[test]
fn librtmp_may_open_chunk_stream_2_with_type_1() {
    let bytes = b"\x42\0\0\0\0\0\x06\x04\0\x06\0\0\0\x01";
    let expected = Message {
        kind: 4,
        timestamp: 0,
        stream_id: 0,
        body: Bytes::from_static(b"\0\x06\0\0\0\x01"),
    };
    assert_eq!(read_all(&mut ChunkReader::new(), bytes), [expected]);
}

#[test]
fn aborted_message_is_dropped_and_the_next_one_read() {
    let mut encoder = Encoder::new();
    let mut bytes = encoder.encode(6, media(9, 1, vec![1; 300]))[0].clone();
    bytes.extend(encoder.encode(2, control(message::ABORT, 6)).concat());
    bytes.extend(encoder.encode(2, control(message::ABORT, 99)).concat());
    let next = media(9, 2, vec![2; 300]);
    bytes.extend(encoder.encode(6, next.clone()).concat());
    assert_eq!(read_all(&mut ChunkReader::new(), &bytes), [next]);
}

#[test]
fn chunk_size_may_change_inside_a_message() {
    let mut encoder = Encoder::new();
    let message = media(9, 1, vec![1; 300]);
    let mut bytes = encoder.encode(6, message.clone())[0].clone();
    bytes.extend(encoder.set_chunk_size(0xFF_FFFF));
    bytes.push(0xC6);
    bytes.extend(&message.body[CHUNK_BYTES_DEFAULT..]);
    assert_eq!(read_all(&mut ChunkReader::new(), &bytes), [message]);
}
