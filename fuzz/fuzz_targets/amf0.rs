//! Whatever AMF0 decodes to encodes to bytes that decode to the same.
#![no_main]

use astral_media::rtmp::amf0;
use bytes::BytesMut;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(values) = amf0::decode(data) else {
        return;
    };
    let encoded = |values: &[amf0::Value]| {
        let mut output = BytesMut::new();
        amf0::encode(values, &mut output);
        output
    };
    let once = encoded(&values);
    // Compared as bytes, for NaN is not itself. A string grows where it is not UTF-8, and may then be too long.
    if let Ok(again) = amf0::decode(&once) {
        assert_eq!(encoded(&again), once);
    }
});
