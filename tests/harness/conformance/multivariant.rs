//! Rules of the multivariant playlist.

use super::fragment::Init;
use super::media::{Coded, starts_with_sync};
use super::playlist::attributes;
use super::{Faults, Rule};

/// Checks what a multivariant playlist says about the media.
pub fn check_multivariant(
    text: &str,
    init: &Init,
    segments: &[Coded],
    target_duration: u64,
    faults: &mut Faults,
) {
    faults.require(text.starts_with("#EXTM3U\n"), Rule::Header, || {
        text.chars().take(40).collect()
    });
    let variant = text
        .lines()
        .find_map(|line| attributes(line.strip_prefix("#EXT-X-STREAM-INF:")?));
    faults.require(variant.is_some(), Rule::Syntax, || {
        format!("no variant in {text}")
    });
    let Some(variant) = variant else { return };
    let said: Vec<_> = variant
        .get("CODECS")
        .map(|codecs| codecs.split(',').collect())
        .unwrap_or_default();
    let codecs: Vec<_> = init
        .tracks
        .iter()
        .filter_map(|track| track.codec.as_deref())
        .collect();
    faults.require(said == codecs, Rule::Codecs, || {
        format!("CODECS {said:?} of media in {codecs:?}")
    });
    let size = init
        .video()
        .map(|video| format!("{}x{}", video.size.0, video.size.1));
    faults.require(
        variant.get("RESOLUTION") == size.as_ref(),
        Rule::Codecs,
        || {
            format!(
                "RESOLUTION {:?} of media of {size:?}",
                variant.get("RESOLUTION")
            )
        },
    );
    let bandwidth: u64 = variant
        .get("BANDWIDTH")
        .and_then(|bits| bits.parse().ok())
        .unwrap_or(0);
    let peak = peak_bits_per_second(segments, target_duration);
    faults.require(bandwidth >= peak, Rule::Bandwidth, || {
        format!("BANDWIDTH {bandwidth} of media that peaks at {peak}")
    });
    let says_independent = text.contains("#EXT-X-INDEPENDENT-SEGMENTS");
    let is_independent = segments
        .iter()
        .all(|segment| starts_with_sync(&segment.fragments, init));
    faults.require(
        is_independent || !says_independent,
        Rule::Independent,
        || "a segment is not independent".into(),
    );
}

/// Returns the largest bit rate of segments in a row that last between half and one and a half
/// target durations (rfc8216bis, 4.1).
fn peak_bits_per_second(segments: &[Coded], target_duration: u64) -> u64 {
    let least = target_duration * 500_000;
    let most = target_duration * 1_500_000;
    let mut peak = 0;
    for first in 0..segments.len() {
        let mut bits = 0;
        let mut lasts = 0;
        for segment in &segments[first..] {
            bits += segment.bytes.len() as u64 * 8;
            lasts += segment.duration;
            if lasts > most {
                break;
            }
            if lasts >= least {
                peak = peak.max(bits * 1_000_000 / lasts.max(1));
            }
        }
    }
    peak
}
