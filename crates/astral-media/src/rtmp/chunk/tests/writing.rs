use super::*;
use crate::rtmp::chunk::{
    CHUNK_BYTES_OUT, ChunkReader, MESSAGE_BYTES_MAX, MessageKind, STREAM_ID, message_head,
    write_message,
};
use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

/// The messages that a player reads from these pieces.
fn played(pieces: &[Bytes]) -> Vec<Message> {
    let mut reader = ChunkReader::new();
    let announced = Encoder::new().set_chunk_size(CHUNK_BYTES_OUT as u32);
    let mut input = BytesMut::from(&[&announced[..], &pieces.concat()].concat()[..]);
    std::iter::from_fn(|| reader.read(&mut input).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_written_reads_back(
        lengths in vec(prop_oneof![0..300usize, CHUNK_BYTES_OUT - 2..CHUNK_BYTES_OUT + 2], 0..4),
        timestamp in prop_oneof![0..9u32, EXTENDED - 1..EXTENDED + 2, Just(u32::MAX)],
    ) {
        let payload: Vec<_> = lengths.iter().map(|&length| Bytes::from(vec![7; length])).collect();
        let pieces = write_message(MessageKind::Video, timestamp, &payload);
        prop_assert_eq!(played(&pieces), [media(9, timestamp, payload.concat())]);
    }
}

#[test]
fn payload_is_shared_not_copied() {
    let payload = Bytes::from(vec![7; 3 * CHUNK_BYTES_OUT]);
    let pieces = write_message(
        MessageKind::Video,
        0,
        &[payload.slice(..10), payload.slice(10..)],
    );
    let range = payload.as_ptr_range();
    let (shared, headers): (Vec<_>, Vec<_>) = pieces
        .iter()
        .partition(|piece| range.contains(&piece.as_ptr()));
    assert_eq!(
        shared.iter().map(|piece| piece.len()).sum::<usize>(),
        payload.len()
    );
    assert_eq!(
        headers.iter().map(|piece| piece.len()).collect::<Vec<_>>(),
        [12, 1, 1]
    );
}

#[test]
fn the_largest_frame_can_be_written() {
    let payload = Bytes::from(vec![7; MESSAGE_BYTES_MAX]);
    let pieces = write_message(MessageKind::Video, EXTENDED, std::slice::from_ref(&payload));
    assert_eq!(played(&pieces), [media(9, EXTENDED, payload)]);
}

#[test]
fn head_follows_the_specification() {
    let head = message_head(MessageKind::Audio, 0x01_0203, STREAM_ID, 0x04_0506);
    assert_eq!(head[..], [4, 1, 2, 3, 4, 5, 6, 8, 1, 0, 0, 0]);
    let head = message_head(MessageKind::Data, EXTENDED, STREAM_ID, 1);
    assert_eq!(
        head[..],
        [
            5, 0xFF, 0xFF, 0xFF, 0, 0, 1, 18, 1, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF
        ]
    );
}
