//! Reads the bodies of audio and video messages, both classic (FLV annex E.4) and Enhanced RTMP.

use super::FlvError;
use bytes::{Buf, Bytes};
use std::borrow::Cow;

const FRAME_TYPE_COMMAND: u8 = 5;
const VIDEO_AVC: u8 = 7;
const AUDIO_ENHANCED: u8 = 9;
const AUDIO_AAC: u8 = 10;
const ENHANCED_METADATA: u8 = 4;
const ENHANCED_MODIFIER: u8 = 7;
const VIDEO_MULTITRACK: u8 = 6;
const AUDIO_MULTITRACK: u8 = 5;
/// Multitrack type: one track per message, so no length is needed.
const ONE_TRACK: u8 = 0;
/// Multitrack type: each track names its own codec.
const MANY_CODECS: u8 = 2;
/// The track that is played.
const FIRST_TRACK: u8 = 0;

/// The content of a video message. Payloads are slices of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoMessage {
    /// The AVCDecoderConfigurationRecord of the frames that follow.
    Config(Bytes),
    /// One access unit.
    Frame {
        /// Whether a decoder can start at it.
        keyframe: bool,
        /// Presentation time minus decoding time, milliseconds.
        cts_ms: i32,
        /// NAL units, each after its length.
        payload: Bytes,
    },
    /// No more frames with the current configuration follow.
    EndOfSequence,
    /// Nothing to pass on: an empty body, a command to the player, or metadata.
    Nothing,
}

/// The content of an audio message. Payloads are slices of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioMessage {
    /// The AudioSpecificConfig of the frames that follow.
    Config(Bytes),
    /// One raw AAC frame.
    Frame(Bytes),
    /// Nothing to pass on: an empty body, an end of sequence, or a channel order.
    Nothing,
}

/// Reads the body of a video message.
pub fn parse_video(body: Bytes) -> Result<VideoMessage, FlvError> {
    let mut body = Body {
        bytes: body,
        kind: "video",
    };
    if body.bytes.is_empty() {
        return Ok(VideoMessage::Nothing);
    }
    let head = body.byte()?;
    let frame_type = head >> 4 & 7;
    if head & 0x80 != 0 {
        return enhanced_video(body, frame_type, head & 15);
    }
    if frame_type == FRAME_TYPE_COMMAND {
        return Ok(VideoMessage::Nothing);
    }
    if head & 15 != VIDEO_AVC {
        return Err(FlvError::UnsupportedVideo(video_codec_name(head & 15)));
    }
    let packet_type = body.byte()?;
    let cts_ms = body.signed_24()?;
    match packet_type {
        0 => Ok(video_config(body.bytes)),
        1 => Ok(video_frame(frame_type, cts_ms, body.bytes)),
        2 => Ok(VideoMessage::EndOfSequence),
        _ => Err(FlvError::PacketType {
            kind: "video",
            packet_type,
        }),
    }
}

fn enhanced_video(
    mut body: Body,
    frame_type: u8,
    packet_type: u8,
) -> Result<VideoMessage, FlvError> {
    let packet_type = body.skip_modifiers(packet_type)?;
    if packet_type == ENHANCED_METADATA || frame_type == FRAME_TYPE_COMMAND {
        return Ok(VideoMessage::Nothing);
    }
    let (packet_type, codec) = body.packet_of_track(packet_type, VIDEO_MULTITRACK)?;
    if &codec != b"avc1" {
        return Err(FlvError::UnsupportedVideo(four_cc_name(codec)));
    }
    match packet_type {
        0 => Ok(video_config(body.bytes)),
        1 => {
            let cts_ms = body.signed_24()?;
            Ok(video_frame(frame_type, cts_ms, body.bytes))
        }
        2 => Ok(VideoMessage::EndOfSequence),
        3 => Ok(video_frame(frame_type, 0, body.bytes)),
        _ => Err(FlvError::PacketType {
            kind: "video",
            packet_type,
        }),
    }
}

fn video_config(config: Bytes) -> VideoMessage {
    if config.is_empty() {
        VideoMessage::Nothing
    } else {
        VideoMessage::Config(config)
    }
}

fn video_frame(frame_type: u8, cts_ms: i32, payload: Bytes) -> VideoMessage {
    if payload.is_empty() {
        return VideoMessage::Nothing;
    }
    // 1 is a keyframe; 4 is a keyframe that a server made.
    VideoMessage::Frame {
        keyframe: matches!(frame_type, 1 | 4),
        cts_ms,
        payload,
    }
}

/// Reads the body of an audio message.
pub fn parse_audio(body: Bytes) -> Result<AudioMessage, FlvError> {
    let mut body = Body {
        bytes: body,
        kind: "audio",
    };
    if body.bytes.is_empty() {
        return Ok(AudioMessage::Nothing);
    }
    let head = body.byte()?;
    match head >> 4 {
        AUDIO_ENHANCED => return enhanced_audio(body, head & 15),
        AUDIO_AAC => {}
        format => return Err(FlvError::UnsupportedAudio(audio_codec_name(format))),
    }
    let packet_type = body.byte()?;
    match packet_type {
        0 | 1 => Ok(audio(packet_type == 0, body.bytes)),
        _ => Err(FlvError::PacketType {
            kind: "audio",
            packet_type,
        }),
    }
}

fn enhanced_audio(mut body: Body, packet_type: u8) -> Result<AudioMessage, FlvError> {
    let packet_type = body.skip_modifiers(packet_type)?;
    let (packet_type, codec) = body.packet_of_track(packet_type, AUDIO_MULTITRACK)?;
    if &codec != b"mp4a" {
        return Err(FlvError::UnsupportedAudio(four_cc_name(codec)));
    }
    match packet_type {
        0 | 1 => Ok(audio(packet_type == 0, body.bytes)),
        2 | 4 => Ok(AudioMessage::Nothing),
        _ => Err(FlvError::PacketType {
            kind: "audio",
            packet_type,
        }),
    }
}

fn audio(config: bool, bytes: Bytes) -> AudioMessage {
    match (bytes.is_empty(), config) {
        (true, _) => AudioMessage::Nothing,
        (false, true) => AudioMessage::Config(bytes),
        (false, false) => AudioMessage::Frame(bytes),
    }
}

/// The unread rest of a body.
struct Body {
    bytes: Bytes,
    kind: &'static str,
}

impl Body {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FlvError> {
        let array = *self
            .bytes
            .first_chunk::<N>()
            .ok_or(FlvError::Truncated(self.kind))?;
        self.bytes.advance(N);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, FlvError> {
        Ok(self.array::<1>()?[0])
    }

    fn signed_24(&mut self) -> Result<i32, FlvError> {
        let [high, middle, low] = self.array()?;
        Ok(i32::from_be_bytes([high, middle, low, 0]) >> 8)
    }

    fn unsigned_24(&mut self) -> Result<usize, FlvError> {
        let [high, middle, low] = self.array()?;
        Ok(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    fn four_cc(&mut self) -> Result<[u8; 4], FlvError> {
        self.array()
    }

    /// Returns the packet type and the codec. If the packet type is `multitrack`, they are those of
    /// the first track.
    fn packet_of_track(
        &mut self,
        packet_type: u8,
        multitrack: u8,
    ) -> Result<(u8, [u8; 4]), FlvError> {
        match packet_type == multitrack {
            true => self
                .first_track()
                .map_err(|_| FlvError::Multitrack(self.kind)),
            false => Ok((packet_type, self.four_cc()?)),
        }
    }

    /// Enters the first track of a multitrack message (Enhanced RTMP v2). Returns its packet type
    /// and codec.
    ///
    /// # Errors
    /// If the message has no such track or ends early.
    fn first_track(&mut self) -> Result<(u8, [u8; 4]), FlvError> {
        let head = self.byte()?;
        let multitrack_type = head >> 4;
        let mut codec = if multitrack_type == MANY_CODECS {
            [0; 4]
        } else {
            self.four_cc()?
        };
        loop {
            if multitrack_type == MANY_CODECS {
                codec = self.four_cc()?;
            }
            let id = self.byte()?;
            let length = if multitrack_type == ONE_TRACK {
                self.bytes.len()
            } else {
                self.unsigned_24()?
            };
            if length > self.bytes.len() {
                return Err(FlvError::Truncated(self.kind));
            }
            let track = self.bytes.split_to(length);
            if id == FIRST_TRACK {
                self.bytes = track;
                return Ok((head & 15, codec));
            }
        }
    }

    /// Skips ModEx preludes, such as a nanosecond offset, which relays do not carry. Returns the
    /// packet type after them.
    fn skip_modifiers(&mut self, mut packet_type: u8) -> Result<u8, FlvError> {
        while packet_type == ENHANCED_MODIFIER {
            let mut size = usize::from(self.byte()?) + 1;
            if size == 256 {
                size = usize::from(u16::from_be_bytes(self.array()?)) + 1;
            }
            if size > self.bytes.len() {
                return Err(FlvError::Truncated(self.kind));
            }
            self.bytes.advance(size);
            packet_type = self.byte()? & 15;
        }
        Ok(packet_type)
    }
}

fn video_codec_name(id: u8) -> Cow<'static, str> {
    match id {
        2 => "Sorenson H.263".into(),
        3 | 6 => "screen video".into(),
        4 | 5 => "VP6".into(),
        12 => "HEVC".into(),
        13 => "AV1".into(),
        _ => format!("number {id}").into(),
    }
}

fn audio_codec_name(format: u8) -> Cow<'static, str> {
    match format {
        0 | 3 => "PCM".into(),
        1 => "ADPCM".into(),
        2 | 14 => "MP3".into(),
        4..=6 => "Nellymoser".into(),
        7 | 8 => "G.711".into(),
        11 => "Speex".into(),
        13 => "Opus".into(),
        _ => format!("number {format}").into(),
    }
}

fn four_cc_name(code: [u8; 4]) -> Cow<'static, str> {
    match &code {
        b"hvc1" | b"hev1" => "HEVC".into(),
        b"vvc1" => "VVC".into(),
        b"av01" => "AV1".into(),
        b"vp08" => "VP8".into(),
        b"vp09" => "VP9".into(),
        b"Opus" => "Opus".into(),
        b"fLaC" => "FLAC".into(),
        b"ac-3" => "AC-3".into(),
        b"ec-3" => "E-AC-3".into(),
        b".mp3" => "MP3".into(),
        _ => code.escape_ascii().to_string().into(),
    }
}

#[cfg(test)]
mod tests;
