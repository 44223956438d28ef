use super::*;
use proptest::prelude::*;

fn video(body: &[u8]) -> Result<VideoMessage, FlvError> {
    parse_video(Bytes::copy_from_slice(body))
}

fn audio(body: &[u8]) -> Result<AudioMessage, FlvError> {
    parse_audio(Bytes::copy_from_slice(body))
}

fn frame(keyframe: bool, cts_ms: i32, payload: &'static [u8]) -> VideoMessage {
    VideoMessage::Frame {
        keyframe,
        cts_ms,
        payload: Bytes::from_static(payload),
    }
}

#[test]
fn classic_video_is_read() {
    assert_eq!(
        video(b"\x17\0\0\0\0conf"),
        Ok(VideoMessage::Config(Bytes::from_static(b"conf")))
    );
    assert_eq!(video(b"\x17\x01\0\0\x50nal"), Ok(frame(true, 80, b"nal")));
    assert_eq!(
        video(b"\x27\x01\xff\xff\xfenal"),
        Ok(frame(false, -2, b"nal"))
    );
    assert_eq!(video(b"\x17\x02\0\0\0"), Ok(VideoMessage::EndOfSequence));
}

#[test]
fn enhanced_h264_is_read() {
    assert_eq!(
        video(b"\x90avc1conf"),
        Ok(VideoMessage::Config(Bytes::from_static(b"conf")))
    );
    assert_eq!(video(b"\x91avc1\0\0\x50nal"), Ok(frame(true, 80, b"nal")));
    assert_eq!(video(b"\xa3avc1nal"), Ok(frame(false, 0, b"nal")));
    assert_eq!(video(b"\x92avc1"), Ok(VideoMessage::EndOfSequence));
    // A nanosecond offset of 3 bytes, then one of the longer kind, then coded frames.
    assert_eq!(
        video(b"\x97\x02abc\x01avc1\0\0\0nal"),
        Ok(frame(true, 0, b"nal"))
    );
    assert_eq!(
        video(b"\x97\xff\0\0x\x03avc1nal"),
        Ok(frame(true, 0, b"nal"))
    );
}

#[test]
fn bodies_without_media_are_nothing() {
    for body in [
        &b""[..],
        b"\x57\0",
        b"\x52\0",
        b"\x17\x01\0\0\0",
        b"\x94hvc1meta",
        b"\xd1\0",
    ] {
        assert_eq!(video(body), Ok(VideoMessage::Nothing), "{body:02x?}");
    }
    for body in [&b""[..], b"\xaf\x01", b"\x92mp4a", b"\x94mp4a\x01\x02"] {
        assert_eq!(audio(body), Ok(AudioMessage::Nothing), "{body:02x?}");
    }
}

#[test]
fn aac_is_read_in_both_forms() {
    for config in [&b"\xaf\0\x12\x10"[..], b"\x90mp4a\x12\x10"] {
        assert_eq!(
            audio(config),
            Ok(AudioMessage::Config(Bytes::from_static(b"\x12\x10")))
        );
    }
    for raw in [&b"\xaf\x01aac"[..], b"\xae\x01aac", b"\x91mp4aaac"] {
        assert_eq!(
            audio(raw),
            Ok(AudioMessage::Frame(Bytes::from_static(b"aac")))
        );
    }
}

#[test]
fn codecs_not_taken_are_named() {
    let video_error = |body: &[u8]| video(body).unwrap_err().to_string();
    assert_eq!(
        video_error(b"\x91hvc1\0\0\0x"),
        "video codec HEVC is not supported, send H.264"
    );
    assert_eq!(
        video_error(b"\x90av01x"),
        "video codec AV1 is not supported, send H.264"
    );
    assert_eq!(
        video_error(b"\x12x"),
        "video codec Sorenson H.263 is not supported, send H.264"
    );
    assert_eq!(
        video_error(b"\x90a\xffc\nx"),
        r"video codec a\xffc\n is not supported, send H.264"
    );
    assert_eq!(
        video_error(b"\x96\x00avc1"),
        "multitrack video without a first track is not supported, send one track"
    );
    let audio_error = |body: &[u8]| audio(body).unwrap_err().to_string();
    assert_eq!(
        audio_error(b"\x2fx"),
        "audio codec MP3 is not supported, send AAC"
    );
    assert_eq!(
        audio_error(b"\xb2x"),
        "audio codec Speex is not supported, send AAC"
    );
    assert_eq!(
        audio_error(b"\x91Opusx"),
        "audio codec Opus is not supported, send AAC"
    );
    assert_eq!(
        audio_error(b"\xc2x"),
        "audio codec number 12 is not supported, send AAC"
    );
}

#[test]
fn the_first_of_several_tracks_is_read() {
    // One track to a message; many of one codec; many of several codecs.
    assert_eq!(video(b"\x96\x03avc1\x00nal"), Ok(frame(true, 0, b"nal")));
    assert_eq!(
        video(b"\xa6\x13avc1\x01\0\0\x02xx\x00\0\0\x03nal"),
        Ok(frame(false, 0, b"nal"))
    );
    assert_eq!(
        audio(b"\x95\x21Opus\x01\0\0\x02xxmp4a\x00\0\0\x03aac"),
        Ok(AudioMessage::Frame(b"aac"[..].into()))
    );
    assert_eq!(
        audio(b"\x95\x01mp4a\x00aac"),
        Ok(AudioMessage::Frame(b"aac"[..].into()))
    );
}

#[test]
fn a_multitrack_message_without_the_first_track_is_rejected() {
    assert_eq!(
        audio(b"\x95\x01mp4a\x01aac"),
        Err(FlvError::Multitrack("audio"))
    );
    for body in [
        &b"\x96"[..],
        b"\x96\x13avc1\x00\xff\xff\xffx",
        b"\x96\x13avc1\x02\0\0\x01x",
    ] {
        assert_eq!(
            video(body),
            Err(FlvError::Multitrack("video")),
            "{body:02x?}"
        );
    }
}

#[test]
fn bodies_that_end_early_are_refused() {
    for body in [
        &b"\x17"[..],
        b"\x17\x01\0",
        b"\x91avc",
        b"\x91avc1\0\0",
        b"\x97",
        b"\x97\x05ab",
        b"\x97\xff\x01",
    ] {
        assert_eq!(
            video(body),
            Err(FlvError::Truncated("video")),
            "{body:02x?}"
        );
    }
    assert_eq!(audio(b"\xaf"), Err(FlvError::Truncated("audio")));
    assert_eq!(
        video(b"\x17\x09\0\0\0"),
        Err(FlvError::PacketType {
            kind: "video",
            packet_type: 9
        })
    );
}

#[test]
fn payload_is_a_slice_of_the_message() {
    let body = Bytes::from(b"\x17\x01\0\0\0payload".to_vec());
    let Ok(VideoMessage::Frame { payload, .. }) = parse_video(body.clone()) else {
        panic!("no frame")
    };
    assert_eq!(payload.as_ptr(), body[5..].as_ptr());
}

proptest! {
    #[test]
    fn any_bytes_are_survived(body: Vec<u8>) {
        let _ = video(&body);
        let _ = audio(&body);
    }
}
