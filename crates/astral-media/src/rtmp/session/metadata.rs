//! `onMetaData`: what a publisher says of its stream.

use crate::rtmp::amf0::{self, Value};

/// What a publisher says of its stream. Advice only: the truth is in the codec configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamMetadata {
    /// Whether video will come.
    pub expects_video: bool,
    /// Whether audio will come.
    pub expects_audio: bool,
    /// Picture width in pixels.
    pub width: Option<u32>,
    /// Picture height in pixels.
    pub height: Option<u32>,
    /// Frames a second.
    pub frame_rate: Option<f64>,
    /// FLV codec id (7 is H.264), or FourCC as a big-endian number.
    pub video_codec: Option<u32>,
    /// FLV sound format (10 is AAC), or FourCC as a big-endian number.
    pub audio_codec: Option<u32>,
}

impl StreamMetadata {
    /// Reads the body of a data message; none if it is not `onMetaData`.
    pub(super) fn decode(amf0: &[u8]) -> Option<Self> {
        let values = amf0::decode(amf0).ok()?;
        let values = match values.first()?.as_str()? {
            "@setDataFrame" => &values[1..],
            _ => &values[..],
        };
        match values {
            [name, properties, ..] if name.as_str() == Some("onMetaData") => Some(Self::read(properties)),
            _ => None,
        }
    }

    fn read(properties: &Value) -> Self {
        let number = |name| properties.get(name).and_then(Value::as_number).filter(|&number| number > 0.0);
        let codec = |name| properties.get(name).and_then(codec_id);
        let pixels = |name| number(name).map(|number| number as u32);
        let (video_codec, audio_codec) = (codec("videocodecid"), codec("audiocodecid"));
        Self {
            expects_video: video_codec.is_some() || number("width").is_some(),
            expects_audio: audio_codec.is_some() || number("audiosamplerate").is_some(),
            width: pixels("width"),
            height: pixels("height"),
            frame_rate: number("framerate"),
            video_codec,
            audio_codec,
        }
    }
}

/// Encoders state codecs by number or by FourCC, and the FourCC as text or as a number.
fn codec_id(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) if *number > 0.0 => Some(*number as u32),
        Value::String(text) => text.as_bytes().try_into().ok().map(u32::from_be_bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    fn decode(values: &[Value]) -> Option<StreamMetadata> {
        let mut body = BytesMut::new();
        amf0::encode(values, &mut body);
        StreamMetadata::decode(&body)
    }

    fn properties(of: &[(&str, Value)]) -> Value {
        Value::EcmaArray(of.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    #[test]
    fn audio_alone_expects_no_video() {
        let metadata = decode(&["onMetaData".into(), properties(&[("audiocodecid", 10.0.into())])]).unwrap();
        assert!(metadata.expects_audio && !metadata.expects_video);
        assert_eq!(metadata.audio_codec, Some(10));
    }

    #[test]
    fn obs_names_codecs_by_text() {
        let video = [("width", 1280.0.into()), ("height", 720.0.into()), ("videocodecid", "avc1".into())];
        let metadata = decode(&["@setDataFrame".into(), "onMetaData".into(), properties(&video)]).unwrap();
        assert_eq!((metadata.width, metadata.height), (Some(1280), Some(720)));
        assert_eq!(metadata.video_codec, Some(u32::from_be_bytes(*b"avc1")));
        assert!(metadata.expects_video && !metadata.expects_audio);
    }

    #[test]
    fn other_data_is_passed_over() {
        assert_eq!(decode(&["onTextData".into(), Value::Null]), None);
        assert_eq!(decode(&["@setDataFrame".into()]), None);
        assert_eq!(StreamMetadata::decode(b"\x02\xff"), None);
    }
}
