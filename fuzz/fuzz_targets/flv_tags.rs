//! Whatever comes as FLV is read or refused, the same in pieces as at once; what is read makes an initialisation section.
#![no_main]

use astral_media::codec::{aac, avc, frame_duration_samples};
use astral_media::flv::{
    AudioMessage, FlvReader, TYPE_AUDIO, TYPE_VIDEO, Tag, VideoMessage, file_header, parse_audio,
    parse_video,
};
use astral_media::fmp4::init_section;
use astral_media::frame::Parameters;
use astral_media::publish::{PublishReader, Warning};
use astral_proto::Incarnation;
use bytes::Bytes;

fn tags<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Tag> {
    let mut reader = FlvReader::new();
    let mut tags = Vec::new();
    reader
        .push(&file_header(true, true))
        .expect("it is a header");
    for piece in pieces {
        if reader.push(piece).is_err() {
            return tags;
        }
        loop {
            match reader.next_tag() {
                Ok(Some(tag)) => tags.push(tag),
                Ok(None) => break,
                Err(_) => return tags,
            }
        }
    }
    tags
}

fn read(body: Bytes) {
    let config = match parse_video(body.clone()) {
        Ok(VideoMessage::Config(config)) => config,
        _ => body.clone(),
    };
    let video = avc::parse(&config).ok();
    avc::codec_string(&config);
    let config = match parse_audio(body.clone()) {
        Ok(AudioMessage::Config(config)) => config,
        _ => body,
    };
    let audio = aac::parse(&config).ok();
    aac::codec_string(&config);
    if let Some(audio) = &audio {
        assert!(frame_duration_samples(audio) > 0 && audio.sample_rate > 0 && audio.channels > 0);
    }
    if let Some(video) = &video {
        assert!(video.width > 0 && video.height > 0);
    }
    let known = video.is_some() || audio.is_some();
    let section = init_section(&Parameters {
        incarnation: Incarnation::from_bits(1),
        epoch: 1,
        init: 0,
        video,
        audio,
    });
    assert!(
        section.is_ok() || !known,
        "what was taken from a publisher has no section: {section:?}"
    );
}

/// A publisher is refused, or warned of each thing once.
fn publish(tags: &[Tag]) {
    let mut reader = PublishReader::new();
    for tag in tags {
        let body = tag.body.clone();
        let read = match tag.tag_type {
            TYPE_VIDEO => reader.video(tag.timestamp_ms, body),
            TYPE_AUDIO => reader.audio(tag.timestamp_ms, body),
            _ => Ok(reader.data(body)),
        };
        if read.is_err() {
            break;
        }
    }
    assert!(reader.take_warnings().len() <= Warning::REASONS.len());
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let once = tags(std::iter::once(data));
    publish(&once);
    assert_eq!(tags(data.chunks(1)), once);
    once.into_iter().for_each(|tag| read(tag.body));
    read(Bytes::copy_from_slice(data));
});
