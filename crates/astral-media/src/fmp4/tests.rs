use super::*;
use crate::frame::{
    AudioCodec, AudioParameters, Frame, GopEnd, GopStart, Parameters, Track, VideoCodec,
    VideoParameters,
};
use Track::{Audio, Video};
use astral_proto::{FrameId, Incarnation};
use bytes::Bytes;
use mp4_atom::{Decode, Moof, Traf};
use std::sync::Arc;

mod assembling;
mod ffmpeg;
mod init;
mod oracle;

const GOP: u64 = 7;
/// The number of the first fragment of the GOP.
const FIRST_FRAGMENT: u32 = 71;
/// How long the GOP lasts.
const GOP_MICROS: u32 = 4_000_000;

fn video_parameters() -> VideoParameters {
    let config =
        b"\x01\x64\x00\x0d\xff\xe1\x00\x1b\x67\x64\x00\x0d\xac\xd9\x41\x50\x87\x88\x88\xc0\x44\x00\x00\
        \x03\x00\x04\x00\x00\x03\x00\xc8\x3c\x50\xa6\x58\x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
    VideoParameters {
        codec: VideoCodec::H264,
        config: Bytes::from_static(config),
        width: 322,
        height: 242,
    }
}

fn audio_parameters() -> AudioParameters {
    let config = Bytes::from_static(b"\x11\x90");
    AudioParameters {
        codec: AudioCodec::Aac,
        config,
        sample_rate: 48_000,
        channels: 2,
    }
}

fn parameters(video: bool, audio: bool) -> Arc<Parameters> {
    Arc::new(Parameters {
        incarnation: Incarnation::default(),
        epoch: 1,
        init: 0,
        video: video.then(video_parameters),
        audio: audio.then(audio_parameters),
    })
}

fn start(parameters: Arc<Parameters>) -> GopStart {
    GopStart {
        gop: GOP,
        parameters,
        discontinuity: 0,
        independent: true,
        starts_at: 0,
        wall_clock: 0.into(),
        program_date_time: 0.into(),
        first_fragment: FIRST_FRAGMENT,
        target_duration_seconds: None,
    }
}

/// Frames of (track, decoding time, part), the first of the video being a keyframe. A part starts
/// with the frame that opens it.
fn frames(list: &[(Track, u64, u32)]) -> Vec<Arc<Frame>> {
    let first_video = list.iter().position(|(track, ..)| *track == Video);
    let first_dts = list.first().map_or(0, |first| first.1);
    let mut open = (0, 0);
    list.iter()
        .enumerate()
        .map(|(number, &(track, dts, part))| {
            if part != open.0 {
                open = (part, (dts.saturating_sub(first_dts) as u32).max(open.1 + 1));
            }
            let keyframe = track == Audio || Some(number) == first_video;
            let cts = if track == Video {
                40_000 - 20_000 * (number as i32 % 4)
            } else {
                0
            };
            let payload = format!("{track:?} {number}").into();
            let id = FrameId::new(GOP, number as u32);
            Arc::new(Frame {
                id,
                track,
                keyframe,
                dts,
                cts,
                part,
                part_starts_at: open.1,
                payload,
            })
        })
        .collect()
}

fn end(frames: usize, video_duration: u32, audio_duration: u32) -> GopEnd {
    let frames = frames as u32;
    let duration = GOP_MICROS;
    GopEnd {
        gop: GOP,
        frames,
        duration,
        video_duration,
        audio_duration,
        target_duration_seconds: None,
    }
}

fn moof(part: &Part) -> Moof {
    Moof::decode(&mut &part.pieces[0][..]).unwrap()
}

fn traf(part: &Part, track_id: u32) -> Option<Traf> {
    moof(part)
        .traf
        .into_iter()
        .find(|traf| traf.tfhd.track_id == track_id)
}

fn durations(part: &Part, track_id: u32) -> Vec<u32> {
    let Some(traf) = traf(part, track_id) else {
        return Vec::new();
    };
    traf.trun
        .iter()
        .flat_map(|trun| trun.samples.iter())
        .map(|entry| entry.duration.unwrap())
        .collect()
}

/// The parts that each push completes, and then those that the end completes.
fn assemble(has: Arc<Parameters>, frames: &[Arc<Frame>], end: &GopEnd) -> Vec<Vec<CompletedPart>> {
    let mut assembler = PartAssembler::new(&start(has));
    let mut steps: Vec<Vec<_>> = frames
        .iter()
        .map(|frame| assembler.push(frame.clone()).unwrap().into_iter().collect())
        .collect();
    steps.push(assembler.end(end).unwrap().into_iter().collect());
    steps
}

fn numbers(steps: &[Vec<CompletedPart>]) -> Vec<Vec<u32>> {
    steps
        .iter()
        .map(|parts| parts.iter().map(|part| part.part).collect())
        .collect()
}
