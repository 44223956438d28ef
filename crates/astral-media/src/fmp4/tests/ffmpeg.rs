//! Goal: players read what we write. Method: ffmpeg encodes three seconds with B-frames and AAC
//! into FLV; we read that, write fMP4, and ffmpeg and ffprobe read it back.

use super::*;
use crate::codec::{aac, avc};
use crate::flv::{
    self, AudioMessage, FlvReader, TYPE_AUDIO, TYPE_VIDEO, VideoMessage, parse_audio, parse_video,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ENCODE: &str = "-v error -y -f lavfi -i testsrc2=size=322x242:rate=30 -f lavfi -i sine=sample_rate=44100 \
    -t 3 -c:v libx264 -preset ultrafast -bf 2 -g 30 -c:a aac -ac 2 -f flv";
/// Of each part, microseconds.
const PART_DURATION: u64 = 200_000;

#[test]
fn ffmpeg_reads_the_parts_we_write() {
    let Some(stream) = Stream::encoded("parts") else {
        return;
    };
    assert!(stream.frames.len() > 200 && stream.frames.iter().any(|frame| frame.cts > 0));
    check("parts.mp4", &stream.fragmented(), &stream.packets(1));
}

#[test]
fn ffmpeg_reads_the_flv_we_write() {
    let Some(stream) = Stream::encoded("tags") else {
        return;
    };
    check("tags.out.flv", &stream.flv(), &stream.packets(1000));
}

/// Writes `bytes` to a file. ffmpeg must read the file without any message, and ffprobe must see
/// the tracks and `packets`.
fn check(name: &str, bytes: &[u8], packets: &[String]) {
    let file = TemporaryFile::new(name);
    std::fs::write(&*file, bytes).unwrap();
    assert_eq!(run("ffmpeg", "-v error -i", &file, "-f null -"), "");
    let tracks = "-v error -show_entries stream=codec_name,width,height,sample_rate -of csv=p=0";
    assert_eq!(
        lines(&run("ffprobe", tracks, &file, "")),
        ["aac,44100", "h264,322,242"]
    );
    let fields = "-v error -show_entries packet=codec_type,pts,dts,size,flags -of csv=p=0";
    assert_eq!(lines(&run("ffprobe", fields, &file, "")), packets);
}

/// A stream from the FLV file, divided into parts as an origin would divide it.
struct Stream {
    parameters: Arc<Parameters>,
    frames: Vec<Arc<Frame>>,
}

impl Stream {
    /// A stream that ffmpeg encodes. None on a machine without ffmpeg; a message then says that the
    /// tests were skipped.
    fn encoded(name: &str) -> Option<Self> {
        if Command::new("ffmpeg").arg("-version").output().is_err() {
            eprintln!("SKIPPED: the tests of {name} want ffmpeg and ffprobe on the PATH");
            return None;
        }
        let file = TemporaryFile::new(&format!("{name}.flv"));
        run("ffmpeg", ENCODE, &file, "");
        Some(Self::read(&std::fs::read(&*file).unwrap()))
    }

    fn read(flv: &[u8]) -> Self {
        let mut reader = FlvReader::new();
        let mut parameters = (*parameters(false, false)).clone();
        let mut frames = vec![];
        for piece in flv.chunks(1000) {
            reader.push(piece).unwrap();
            while let Some(tag) = reader.next_tag().unwrap() {
                let dts = u64::from(tag.timestamp_ms) * 1000;
                let (track, keyframe, cts_ms, payload) = match tag.tag_type {
                    TYPE_VIDEO => match parse_video(tag.body).unwrap() {
                        VideoMessage::Frame {
                            keyframe,
                            cts_ms,
                            payload,
                        } => (Video, keyframe, cts_ms, payload),
                        VideoMessage::Config(config) => {
                            parameters.video = Some(avc::parse(&config).unwrap());
                            continue;
                        }
                        VideoMessage::EndOfSequence | VideoMessage::Nothing => continue,
                    },
                    TYPE_AUDIO => match parse_audio(tag.body).unwrap() {
                        AudioMessage::Frame(payload) => (Audio, true, 0, payload),
                        AudioMessage::Config(config) => {
                            parameters.audio = Some(aac::parse(&config).unwrap());
                            continue;
                        }
                        AudioMessage::Nothing => continue,
                    },
                    _ => continue,
                };
                let id = FrameId::new(0, 0);
                let cts = cts_ms * 1000;
                let part = 0;
                let part_starts_at = 0;
                frames.push(Frame {
                    id,
                    track,
                    keyframe,
                    dts,
                    cts,
                    part,
                    part_starts_at,
                    payload,
                });
            }
        }
        Self {
            parameters: Arc::new(parameters),
            frames: number(frames),
        }
    }

    /// The initialization section and all parts.
    fn fragmented(&self) -> Vec<u8> {
        let mut bytes = init_section(&self.parameters).unwrap().to_vec();
        for gop in self.frames.chunk_by(|one, next| one.id.gop == next.id.gop) {
            let start = GopStart {
                gop: gop[0].id.gop,
                starts_at: gop[0].dts,
                ..start(self.parameters.clone())
            };
            let mut assembler = PartAssembler::new(&start);
            let mut parts: Vec<_> = gop
                .iter()
                .flat_map(|frame| assembler.push(frame.clone()).unwrap())
                .collect();
            let video_duration = self.last_duration(gop, Video);
            let audio_duration = self.last_duration(gop, Audio);
            let end = GopEnd {
                gop: start.gop,
                ..end(gop.len(), video_duration, audio_duration)
            };
            parts.extend(assembler.end(&end).unwrap());
            assert!(parts.len() > 3 && parts[0].independent);
            bytes.extend(parts.iter().flat_map(|part| part.bytes.pieces.concat()));
        }
        bytes
    }

    /// An HTTP-FLV response.
    fn flv(&self) -> Vec<u8> {
        let metadata = flv::metadata_tag(&self.parameters);
        let config = flv::config_tags(&self.parameters, 0);
        let head = [flv::file_header(true, true), metadata, config].concat();
        head.into_iter()
            .chain(
                self.frames
                    .iter()
                    .flat_map(|frame| flv::tag(frame).concat()),
            )
            .collect()
    }

    fn last_duration(&self, gop: &[Arc<Frame>], track: Track) -> u32 {
        gop.iter()
            .rfind(|frame| frame.track == track)
            .map_or(0, |last| self.duration(last))
    }

    fn duration(&self, frame: &Frame) -> u32 {
        let same = |other: &&Arc<Frame>| other.track == frame.track && other.dts > frame.dts;
        self.frames
            .iter()
            .find(same)
            .map_or(30_000, |next| (next.dts - frame.dts) as u32)
    }

    /// The packets as ffprobe prints them, sorted. Times are in units of `unit_us` microseconds.
    fn packets(&self, unit_us: u64) -> Vec<String> {
        let print = |frame: &Arc<Frame>| {
            let kind = if frame.track == Video {
                "video"
            } else {
                "audio"
            };
            let pts = frame.dts as i64 + i64::from(frame.cts);
            let flag = if frame.keyframe { "K" } else { "_" };
            let pts = pts / unit_us as i64;
            let dts = frame.dts / unit_us;
            format!("{kind},{pts},{dts},{},{flag}_", frame.payload.len())
        };
        lines(&self.frames.iter().map(print).collect::<Vec<_>>().join("\n"))
    }
}

/// Numbers frames. Each keyframe starts a GOP, and the decoding time of a frame decides its part.
fn number(frames: Vec<Frame>) -> Vec<Arc<Frame>> {
    let mut gop = 0;
    let mut number = 0;
    let mut starts = 0;
    let place = |mut frame: Frame| {
        if frame.track == Video && frame.keyframe && number > 0 && frame.dts > 0 {
            (gop, number, starts) = (gop + 1, 0, frame.dts);
        }
        frame.id = FrameId::new(gop, number);
        frame.part = (frame.dts.saturating_sub(starts) / PART_DURATION) as u32;
        number += 1;
        frame
    };
    let mut placed: Vec<Frame> = frames.into_iter().map(place).collect();
    for index in 1..placed.len() {
        if placed[index].id.gop == placed[index - 1].id.gop {
            placed[index].part = placed[index].part.max(placed[index - 1].part);
            placed[index].part_starts_at = placed[index].part * PART_DURATION as u32;
        }
    }
    placed.into_iter().map(Arc::new).collect()
}

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| line.trim_end_matches(',').to_owned())
        .collect();
    lines.sort();
    lines
}

/// Runs `program`, which must succeed. Returns what it prints on both outputs.
fn run(program: &str, before: &str, file: &Path, after: &str) -> String {
    let arguments = before.split_whitespace().map(Into::into);
    let arguments = arguments
        .chain([file.as_os_str().to_owned()])
        .chain(after.split_whitespace().map(Into::into));
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program)
        .args(arguments.collect::<Vec<_>>())
        .output()
        .unwrap();
    assert!(
        status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

/// A path that only this process uses. The file is removed at the end.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str) -> Self {
        let name = format!("astral-media-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl std::ops::Deref for TemporaryFile {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
