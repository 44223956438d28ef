//! Content codings (RFC 9110, 8.4).

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Whether an Accept-Encoding field accepts gzip (RFC 9110, 12.5.3).
pub fn is_accepted(field: &str) -> bool {
    let weight_of = |wanted: &str| {
        field.split(',').find_map(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
            let weight = weight
                .trim()
                .strip_prefix("q=")
                .and_then(|weight| weight.parse::<f32>().ok());
            name.trim()
                .eq_ignore_ascii_case(wanted)
                .then(|| weight.unwrap_or(0.0))
        })
    };
    let weight = weight_of("gzip")
        .or_else(|| weight_of("x-gzip"))
        .or_else(|| weight_of("*"));
    weight.is_some_and(|weight| weight > 0.0)
}

/// `bytes` in gzip.
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory cannot fail").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_peers_that_accept_it() {
        for yes in [
            "gzip",
            "deflate, GZIP",
            "br;q=1.0, gzip;q=0.5",
            "*",
            "x-gzip",
            "gzip; q=0.001",
            "*;q=0, gzip",
        ] {
            assert!(is_accepted(yes), "{yes}");
        }
        for no in [
            "",
            "identity",
            "gzip;q=0",
            "br, deflate",
            "*;q=0",
            "gzip;q=0, *",
            "gzip;q=x",
            "gzipped",
        ] {
            assert!(!is_accepted(no), "{no}");
        }
    }
}
