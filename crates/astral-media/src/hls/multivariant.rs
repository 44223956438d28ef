//! `index.m3u8`: the multivariant playlist.

use super::VERSION;
use crate::codec::{audio_codec_string, video_codec_string};
use crate::frame::Parameters;

/// The only variant of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Variant<'a> {
    /// Its tracks.
    pub parameters: &'a Parameters,
    /// Peak bit rate, bits per second.
    pub bandwidth: u64,
    /// Mean bit rate in bits per second, if it is known.
    pub average_bandwidth: Option<u64>,
    /// Frames per second, if known.
    pub frame_rate: Option<f64>,
    /// Whether every segment can be decoded without the others.
    pub independent_segments: bool,
}

/// Returns the multivariant playlist, which refers to `media.m3u8`.
pub fn multivariant_playlist(variant: &Variant) -> String {
    let independent = if variant.independent_segments {
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
    } else {
        ""
    };
    let attributes = attributes(variant).join(",");
    format!(
        "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n{independent}#EXT-X-STREAM-INF:{attributes}\nmedia.m3u8\n"
    )
}

fn attributes(variant: &Variant) -> Vec<String> {
    let Parameters { video, audio, .. } = variant.parameters;
    let mut attributes = vec![format!("BANDWIDTH={}", variant.bandwidth)];
    attributes.extend(
        variant
            .average_bandwidth
            .map(|bits| format!("AVERAGE-BANDWIDTH={bits}")),
    );
    let codecs = video.as_ref().map(video_codec_string).into_iter();
    let codecs: Vec<_> = codecs
        .chain(audio.as_ref().map(audio_codec_string))
        .collect();
    if !codecs.is_empty() {
        attributes.push(format!("CODECS=\"{}\"", codecs.join(",")));
    }
    attributes.extend(
        video
            .as_ref()
            .map(|video| format!("RESOLUTION={}x{}", video.width, video.height)),
    );
    let frame_rate = variant
        .frame_rate
        .filter(|rate| rate.is_finite() && *rate > 0.0);
    attributes.extend(frame_rate.map(|rate| format!("FRAME-RATE={rate:.3}")));
    attributes
}
