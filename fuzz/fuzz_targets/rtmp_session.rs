//! No bytes after a handshake, or after a publish, make a session panic, spin, or pile up answers.
#![no_main]

use astral_media::rtmp::{Event, ServerSession};
use bytes::BytesMut;

/// connect and publish, so that what follows meets an open stream.
const PUBLISH: &[u8] = b"\x03\0\0\0\0\0\x13\x14\0\0\0\0\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\
    \x03\0\0\0\0\0\x18\x14\0\0\0\0\x02\0\x07publish\0\0\0\0\0\0\0\0\0\x05\x02\0\x01s";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut session = ServerSession::new();
    let opening = if data.first().is_some_and(|byte| byte % 2 == 1) {
        PUBLISH
    } else {
        b""
    };
    let mut input = BytesMut::from(&[&[3][..], &[0; 2 * 1536], opening, data].concat()[..]);
    while let Ok(Some(event)) = session.receive(&mut input) {
        match event {
            Event::Publish(_) => session.accept_publish(),
            Event::Play(_) => session.accept_play(),
            _ => {}
        }
        session.take_output();
    }
});
