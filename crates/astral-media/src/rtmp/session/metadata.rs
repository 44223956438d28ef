//! `onMetaData`: how a publisher describes its stream.

use super::{Event, METADATA_BYTES_MAX};
use crate::rtmp::amf0::{self, Value};
use bytes::Bytes;

/// The command name before metadata that a server should keep for players.
const SET_DATA_FRAME: &[u8] = b"\x02\0\x0d@setDataFrame";

/// How a publisher describes its stream. It is only advice; the codec configuration decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamMetadata {
    /// Whether it will send video.
    pub expects_video: bool,
    /// Whether it will send audio.
    pub expects_audio: bool,
    /// Picture width in pixels.
    pub width: Option<u32>,
    /// Picture height in pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// FLV codec id (7 is H.264), or a FourCC as a big-endian number.
    pub video_codec: Option<u32>,
    /// FLV sound format (10 is AAC), or a FourCC as a big-endian number.
    pub audio_codec: Option<u32>,
    /// The whole message in AMF0, for players.
    pub body: Bytes,
}

/// Parses a data message. Returns `None` if it cannot be parsed or is meant only for the server.
/// `@setDataFrame` (Flash Media Live Encoder) before metadata makes no difference.
pub(super) fn read(amf0: Bytes) -> Option<Event> {
    let body = amf0
        .strip_prefix(SET_DATA_FRAME)
        .map_or_else(|| amf0.clone(), |rest| amf0.slice_ref(rest));
    if body.len() > METADATA_BYTES_MAX {
        return Some(Event::Data { body });
    }
    let values = amf0::decode(&body).ok()?;
    let name = values.first()?.as_str()?;
    if is_for_the_server(name) {
        return None;
    }
    match &values[..] {
        [_, properties, ..] if name == "onMetaData" => Some(Event::Metadata(StreamMetadata {
            body,
            ..StreamMetadata::read(properties)
        })),
        _ => Some(Event::Data { body }),
    }
}

/// Returns whether a data message called `name` is of no use to players.
fn is_for_the_server(name: &str) -> bool {
    name.is_empty() || name.starts_with(['@', '|'])
}

impl StreamMetadata {
    fn read(properties: &Value) -> Self {
        let number = |name| {
            properties
                .get(name)
                .and_then(Value::as_number)
                .filter(|&number| number > 0.0)
        };
        let codec = |name| properties.get(name).and_then(codec_id);
        let pixels = |name| number(name).map(|number| number as u32);
        let video_codec = codec("videocodecid");
        let audio_codec = codec("audiocodecid");
        Self {
            expects_video: video_codec.is_some() || number("width").is_some(),
            expects_audio: audio_codec.is_some() || number("audiosamplerate").is_some(),
            width: pixels("width"),
            height: pixels("height"),
            frame_rate: number("framerate"),
            video_codec,
            audio_codec,
            body: Bytes::new(),
        }
    }
}

/// Encoders state codecs as a number or a FourCC, and the FourCC as text or as a number.
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

    fn encoded(values: &[Value]) -> Bytes {
        let mut body = BytesMut::new();
        amf0::encode(values, &mut body);
        body.freeze()
    }

    fn decode(values: &[Value]) -> Option<StreamMetadata> {
        match read(encoded(values)) {
            Some(Event::Metadata(metadata)) => Some(metadata),
            _ => None,
        }
    }

    fn properties(of: &[(&str, Value)]) -> Value {
        Value::EcmaArray(
            of.iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        )
    }

    #[test]
    fn audio_alone_expects_no_video() {
        let metadata = decode(&[
            "onMetaData".into(),
            properties(&[("audiocodecid", 10.0.into())]),
        ])
        .unwrap();
        assert!(metadata.expects_audio && !metadata.expects_video);
        assert_eq!(metadata.audio_codec, Some(10));
    }

    #[test]
    fn obs_names_codecs_by_text() {
        let video = [
            ("width", 1280.0.into()),
            ("height", 720.0.into()),
            ("videocodecid", "avc1".into()),
        ];
        let metadata = decode(&[
            "@setDataFrame".into(),
            "onMetaData".into(),
            properties(&video),
        ])
        .unwrap();
        assert_eq!((metadata.width, metadata.height), (Some(1280), Some(720)));
        assert_eq!(metadata.video_codec, Some(u32::from_be_bytes(*b"avc1")));
        assert!(metadata.expects_video && !metadata.expects_audio);
    }

    #[test]
    fn metadata_is_kept_whole_without_the_set_data_frame_command() {
        let plain = ["onMetaData".into(), properties(&[("encoder", "x".into())])];
        let kept = decode(&[&["@setDataFrame".into()], &plain[..]].concat()).unwrap();
        assert_eq!(kept.body, encoded(&plain));
        assert_eq!(decode(&plain).unwrap().body, encoded(&plain));
    }

    #[test]
    fn other_data_is_printed_by_its_length() {
        for values in [
            vec!["onTextData".into(), Value::Null],
            vec!["onCuePoint".into()],
            vec!["mine".into()],
        ] {
            let body = encoded(&values);
            assert_eq!(read(body.clone()), Some(Event::Data { body }));
        }
        let large = Bytes::from(vec![0xFF; METADATA_BYTES_MAX + 1]);
        assert_eq!(
            read(large.clone()),
            Some(Event::Data { body: large }),
            "for its size to be judged"
        );
    }

    #[test]
    fn data_for_the_server_alone_is_ignored() {
        for values in [
            vec!["@setDataFrame".into()],
            vec!["@clearDataFrame".into(), "onMetaData".into()],
            vec!["|RtmpSampleAccess".into(), Value::Boolean(true)],
            vec!["".into()],
            vec![Value::Null],
        ] {
            assert_eq!(read(encoded(&values)), None, "{values:?}");
        }
        assert_eq!(read(Bytes::from_static(b"\x02\xff")), None);
    }
}
