//! Whatever is read as a record of the relay link encodes to bytes that are read as the same.
#![no_main]

use astral_media::frame::Parameters;
use astral_media::record::{self, Record};
use bytes::BytesMut;
use std::sync::Arc;

fn read(bytes: &mut BytesMut, parameters: &mut Option<Arc<Parameters>>) -> Option<Record> {
    record::read(bytes, parameters).ok().flatten()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut bytes = BytesMut::from(data);
    let mut parameters = None;
    loop {
        let left = bytes.len();
        let mut known = parameters.clone();
        let Some(record) = read(&mut bytes, &mut parameters) else {
            break;
        };
        assert!(bytes.len() < left, "a record of no bytes");
        let mut again = BytesMut::from(&record::encode(&record)[..]);
        assert_eq!(read(&mut again, &mut known).as_ref(), Some(&record));
        assert!(again.is_empty());
    }
    assert!(
        bytes.capacity() <= data.len() + 2 * record::RECORD_BYTES_MAX,
        "{} bytes",
        bytes.capacity()
    );
});
