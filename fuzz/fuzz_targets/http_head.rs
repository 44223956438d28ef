//! A request head takes bytes or waits for more, is the same however the bytes are divided, and its parts are parts of it.
#![no_main]

use astral_relay::http::{Request, parse_head};
use bytes::BytesMut;

/// The first head in `data` fed up to each of `ends`, and the bytes left behind it.
fn head(data: &[u8], ends: impl Iterator<Item = usize>) -> Option<(Request, usize)> {
    let mut buffer = BytesMut::new();
    let mut fed = 0;
    for end in ends {
        buffer.extend_from_slice(&data[fed..end]);
        fed = end;
        if let Some(request) = parse_head(&mut buffer).ok()? {
            return Some((request, data.len() - fed + buffer.len()));
        }
    }
    None
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let whole = head(data, std::iter::once(data.len()));
    let dripped = head(data, 1..=data.len());
    assert_eq!(whole, dripped);
    let Some((request, left)) = whole else { return };
    assert!(left < data.len(), "a head of no bytes");
    assert!(!request.path.contains('?'), "{request:?}");
    let length: usize = [&request.method, &request.path, &request.user_agent]
        .iter()
        .map(|part| part.len())
        .sum();
    assert!(
        length <= data.len() + 1,
        "{request:?} out of {} bytes",
        data.len()
    );
});
