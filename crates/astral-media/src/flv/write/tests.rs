use super::super::{
    AudioMessage, FlvReader, Tag, VideoMessage, metadata_tag, parse_audio, parse_video,
};
use super::*;
use crate::frame::{AudioCodec, VideoCodec};
use astral_proto::{FrameId, Incarnation};
use proptest::prelude::*;

fn frame(track: Track, dts: u64, cts: i32, payload: &'static [u8]) -> Frame {
    let keyframe = track == Track::Audio;
    let payload = Bytes::from_static(payload);
    Frame {
        id: FrameId::new(0, 0),
        track,
        keyframe,
        dts,
        cts,
        part: 0,
        part_starts_at: 0,
        payload,
    }
}

fn parameters() -> Parameters {
    let video = VideoParameters {
        codec: VideoCodec::H264,
        config: Bytes::from_static(b"avcC"),
        width: 1280,
        height: 720,
    };
    let audio = AudioParameters {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(b"\x12\x10"),
        sample_rate: 44_100,
        channels: 2,
    };
    Parameters {
        incarnation: Incarnation::default(),
        epoch: 1,
        init: 0,
        video: Some(video),
        audio: Some(audio),
    }
}

fn read(bytes: &[u8]) -> Vec<Tag> {
    let mut reader = FlvReader::new();
    reader.push(&file_header(true, true)).unwrap();
    reader.push(bytes).unwrap();
    std::iter::from_fn(|| reader.next_tag().unwrap()).collect()
}

#[test]
fn file_header_names_the_tracks() {
    assert_eq!(
        &file_header(true, true)[..],
        b"FLV\x01\x05\0\0\0\x09\0\0\0\0"
    );
    assert_eq!(file_header(false, true)[4], 4);
    assert_eq!(file_header(true, false)[4], 1);
}

#[test]
fn video_tag_is_head_shared_payload_and_trailer() {
    let frame = frame(Track::Video, 0x0123_4567 * 1000 + 999, 40_000, b"payload");
    let [head, payload, trailer] = tag(&frame);
    assert_eq!(
        &head[..],
        b"\x09\0\0\x0c\x23\x45\x67\x01\0\0\0\x27\x01\0\0\x28"
    );
    assert_eq!(payload.as_ptr(), frame.payload.as_ptr());
    assert_eq!(&trailer[..], [0, 0, 0, 23]);
    assert_eq!(trailer.as_ptr(), head.as_ptr().wrapping_add(head.len()));
}

#[test]
fn data_is_a_tag_of_its_values_and_changed_metadata_stands_at_0() {
    let text = b"\x02\0\x0aonTextData\x05";
    let tags = read(&tag(&frame(Track::Data, 23_219, 0, text)).concat());
    assert_eq!(
        (tags[0].tag_type, tags[0].timestamp_ms, &tags[0].body[..]),
        (TYPE_DATA, 23, &text[..])
    );
    let tags = read(&tag(&frame(Track::Data, 23_219, 0, b"\x02\0\x0aonMetaData\x05")).concat());
    assert_eq!((tags[0].tag_type, tags[0].timestamp_ms), (TYPE_DATA, 0));
}

#[test]
fn audio_tag_reads_back() {
    let tags = read(&tag(&frame(Track::Audio, 23_219, 0, b"aac")).concat());
    assert_eq!((tags[0].tag_type, tags[0].timestamp_ms), (TYPE_AUDIO, 23));
    assert_eq!(
        parse_audio(tags[0].body.clone()),
        Ok(AudioMessage::Frame(Bytes::from_static(b"aac")))
    );
}

#[test]
fn config_tags_read_back() {
    let tags = read(&config_tags(&parameters(), u32::MAX));
    assert_eq!(tags.len(), 2);
    assert!(tags.iter().all(|tag| tag.timestamp_ms == u32::MAX));
    assert_eq!(
        parse_video(tags[0].body.clone()),
        Ok(VideoMessage::Config(Bytes::from_static(b"avcC")))
    );
    assert_eq!(
        parse_audio(tags[1].body.clone()),
        Ok(AudioMessage::Config(Bytes::from_static(b"\x12\x10")))
    );
    let audio_only = Parameters {
        video: None,
        ..parameters()
    };
    assert_eq!(read(&config_tags(&audio_only, 0)).len(), 1);
}

#[test]
fn metadata_is_amf0_as_the_specification_has_it() {
    let tags = read(&metadata_tag(&Parameters {
        audio: None,
        ..parameters()
    }));
    let mut expected = b"\x02\0\x0aonMetaData\x08\0\0\0\x03".to_vec();
    expected.extend(b"\0\x05width\0\x40\x94\0\0\0\0\0\0\0\x06height\0\x40\x86\x80\0\0\0\0\0");
    expected.extend(b"\0\x0cvideocodecid\0\x40\x1c\0\0\0\0\0\0\0\0\x09");
    assert_eq!(
        tags,
        [Tag {
            tag_type: 18,
            timestamp_ms: 0,
            body: expected.into()
        }]
    );
    let whole = metadata_tag(&parameters());
    assert!(whole.windows(8).any(|window| window == b"stereo\x01\x01"));
}

proptest! {
    #[test]
    fn presentation_time_is_rounded_down(dts in 0u64..1 << 40, cts in -8_000_000i32..8_000_000) {
        let frame = frame(Track::Video, dts, cts, b"x");
        let presented = (dts as i64 + i64::from(cts)).div_euclid(1000);
        prop_assert_eq!((dts / 1000) as i64 + i64::from(cts_ms(&frame)), presented);
        let tags = read(&tag(&frame).concat());
        prop_assert_eq!(tags[0].timestamp_ms, (dts / 1000) as u32);
        let payload = Bytes::from_static(b"x");
        let read_back = VideoMessage::Frame { keyframe: false, cts_ms: cts_ms(&frame), payload };
        prop_assert_eq!(parse_video(tags[0].body.clone()), Ok(read_back));
    }

    #[test]
    fn any_times_are_survived(dts: u64, cts: i32) {
        let frame = frame(Track::Video, dts, cts, b"x");
        prop_assert_eq!(tag(&frame)[0].len(), 16);
    }
}
