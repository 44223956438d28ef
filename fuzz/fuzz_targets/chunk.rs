//! Chunks that come byte by byte give the same messages as chunks that come at once.
#![no_main]

use astral_media::rtmp::chunk::{ChunkReader, Message};
use bytes::BytesMut;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Message> {
    let mut reader = ChunkReader::new();
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return messages,
            }
        }
    }
    messages
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    assert_eq!(read(std::iter::once(data)), read(data.chunks(1)));
});
