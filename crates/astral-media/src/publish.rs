//! What a publisher's messages mean: inputs of the timeline, warnings for whoever runs the encoder, or a refusal.
//!
//! What cannot be used is left out and said so, and the rest is played. Only what would leave nothing to see ends a
//! publish: video of another codec, and payloads in the form of another container.

mod data;
mod standstill;
#[cfg(test)]
mod tests;
mod warning;

use crate::codec::nal::{AccessUnit, is_annex_b};
use crate::codec::{CodecError, aac, avc};
use crate::flv::{AudioMessage, FlvError, VideoMessage, parse_audio, parse_video};
use crate::rtmp::StreamMetadata;
use crate::timeline::Input;
use bytes::Bytes;
use data::DataShare;
use standstill::Standstill;
pub use warning::Warning;

/// How many audio messages of another codec are passed over while no video comes: about five seconds of sound.
const UNUSABLE_AUDIO_MAX: u32 = 250;
/// How many frames may come before their codec configuration until that is said.
const FRAMES_BEFORE_CONFIG_MAX: u32 = 100;
/// NAL unit lengths take as many bytes until a configuration says otherwise.
const NAL_LENGTH_BYTES: usize = 4;

/// Why a publish is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Video of another codec, or sound of another codec and nothing else.
    #[error(transparent)]
    Flv(#[from] FlvError),
    /// A video configuration that cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// H.264 with start codes.
    #[error(
        "the video is an Annex B byte stream (start codes), send NAL units behind their lengths, as FLV has them"
    )]
    AnnexB,
    /// AAC with ADTS headers.
    #[error(
        "the audio has ADTS headers, send raw AAC behind an AudioSpecificConfig, as FLV has it"
    )]
    Adts,
}

impl PublishError {
    /// A short stable word for a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Flv(_) => "flv",
            Self::Codec(_) => "codec",
            Self::AnnexB => "annex_b",
            Self::Adts => "adts",
        }
    }
}

/// Reads one publish, message by message.
#[derive(Default)]
pub struct PublishReader {
    nal_length_bytes: Option<usize>,
    has_audio_config: bool,
    has_video: bool,
    expects_video: Option<bool>,
    unusable_audio: u32,
    frames_before_config: [u32; 2],
    video_standstill: Standstill,
    audio_standstill: Standstill,
    metadata: Option<Bytes>,
    data_share: DataShare,
    given: Vec<&'static str>,
    warnings: Vec<Warning>,
}

impl PublishReader {
    /// A reader at the start of a publish.
    pub fn new() -> Self {
        Self::default()
    }

    /// Warnings since this was last asked, each kind once in a publish.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    /// Has a warning given, unless one of its kind has been.
    pub fn warn(&mut self, warning: Warning) {
        if !self.given.contains(&warning.reason()) {
            self.given.push(warning.reason());
            self.warnings.push(warning);
        }
    }

    /// Takes what the publisher says that it will send, and passes on what it says differently from before: players
    /// are told of the first by whoever serves them.
    pub fn metadata(&mut self, metadata: &StreamMetadata) -> [Option<Input>; 2] {
        self.expects_video = Some(metadata.expects_video);
        let audio = metadata.expects_audio && self.unusable_audio == 0;
        let expected = Input::Expect {
            video: metadata.expects_video,
            audio,
        };
        let before = self.metadata.replace(metadata.body.clone());
        let is_changed = before.is_some_and(|before| before != metadata.body);
        let data = if is_changed {
            self.data(metadata.body.clone())
        } else {
            None
        };
        [Some(expected), data]
    }

    /// Takes the body of a data message.
    pub fn data(&mut self, body: Bytes) -> Option<Input> {
        if self.data_share.take(&body) {
            return Some(Input::Data { payload: body });
        }
        self.warn(Warning::DataLeftOut);
        None
    }

    /// Takes the body of a video message, sent at `timestamp_ms`.
    ///
    /// # Errors
    /// [`PublishError`]; the publish is to be refused.
    pub fn video(&mut self, timestamp_ms: u32, body: Bytes) -> Result<Option<Input>, PublishError> {
        self.data_share.grow();
        match parse_video(body) {
            Ok(VideoMessage::Config(config)) => self.video_config(&config).map(Some),
            Ok(VideoMessage::Frame {
                keyframe,
                cts_ms,
                payload,
            }) => {
                self.has_video = true;
                let usable = self.picture(timestamp_ms, keyframe, &payload)?;
                Ok(usable.then_some(Input::Video {
                    timestamp_ms,
                    cts_ms,
                    keyframe,
                    payload,
                }))
            }
            Ok(VideoMessage::EndOfSequence | VideoMessage::Nothing) => Ok(None),
            Err(error @ FlvError::UnsupportedVideo(_)) => Err(error.into()),
            Err(error) => {
                self.warn(Warning::of_left_out(&error));
                Ok(None)
            }
        }
    }

    fn video_config(&mut self, config: &Bytes) -> Result<Input, PublishError> {
        if is_annex_b(config) {
            return Err(PublishError::AnnexB);
        }
        let parameters = avc::parse(config)?;
        self.nal_length_bytes = Some(avc::nal_length_bytes(config));
        Ok(Input::VideoParameters(parameters))
    }

    /// Whether a picture can be used.
    fn picture(
        &mut self,
        timestamp_ms: u32,
        keyframe: bool,
        payload: &[u8],
    ) -> Result<bool, PublishError> {
        let length_bytes = self.nal_length_bytes.unwrap_or(NAL_LENGTH_BYTES);
        let Some(unit) = AccessUnit::read(payload, length_bytes) else {
            if is_annex_b(payload) {
                return Err(PublishError::AnnexB);
            }
            self.warn(Warning::LeftOut(
                "a picture whose NAL units do not fill it".into(),
            ));
            return Ok(false);
        };
        self.judge_entry(keyframe, &unit);
        if self.nal_length_bytes.is_none() {
            self.count_before_config(0, "video");
        }
        if self.video_standstill.has_begun(timestamp_ms) {
            self.warn(Warning::TimestampsStandStill("video"));
        }
        Ok(true)
    }

    fn judge_entry(&mut self, keyframe: bool, unit: &AccessUnit) {
        let refreshes = unit.recovery_frames.is_some_and(|frames| frames > 0);
        if !unit.is_idr && refreshes {
            self.warn(Warning::IntraRefresh);
        } else if !unit.is_idr && keyframe {
            self.warn(Warning::OpenGop);
        }
    }

    fn count_before_config(&mut self, track: usize, kind: &'static str) {
        self.frames_before_config[track] += 1;
        if self.frames_before_config[track] == FRAMES_BEFORE_CONFIG_MAX {
            self.warn(Warning::NoConfig(kind));
        }
    }

    /// Takes the body of an audio message, sent at `timestamp_ms`.
    ///
    /// # Errors
    /// [`PublishError`]; the publish is to be refused.
    pub fn audio(&mut self, timestamp_ms: u32, body: Bytes) -> Result<Option<Input>, PublishError> {
        self.data_share.grow();
        match parse_audio(body) {
            Ok(AudioMessage::Config(config)) => self.audio_config(&config),
            Ok(AudioMessage::Frame(payload)) => {
                self.sound(timestamp_ms, &payload)?;
                Ok(Some(Input::Audio {
                    timestamp_ms,
                    payload,
                }))
            }
            Ok(AudioMessage::Nothing) => Ok(None),
            Err(error @ FlvError::UnsupportedAudio(_)) => self.unusable(error),
            Err(error) => {
                self.warn(Warning::of_left_out(&error));
                Ok(None)
            }
        }
    }

    fn audio_config(&mut self, config: &Bytes) -> Result<Option<Input>, PublishError> {
        if aac::is_adts(config) {
            return Err(PublishError::Adts);
        }
        match aac::parse(config) {
            Ok(parameters) => {
                self.has_audio_config = true;
                Ok(Some(Input::AudioParameters(parameters)))
            }
            Err(error) => {
                self.warn(Warning::SoundLeftOut(error.to_string()));
                Ok(self.expect_no_audio())
            }
        }
    }

    fn sound(&mut self, timestamp_ms: u32, payload: &[u8]) -> Result<(), PublishError> {
        if aac::is_adts(payload) {
            return Err(PublishError::Adts);
        }
        if !self.has_audio_config {
            self.count_before_config(1, "audio");
        }
        if self.audio_standstill.has_begun(timestamp_ms) {
            self.warn(Warning::TimestampsStandStill("audio"));
        }
        Ok(())
    }

    /// Leaves out sound of another codec, and says so. A publish of nothing else is refused.
    fn unusable(&mut self, error: FlvError) -> Result<Option<Input>, PublishError> {
        self.unusable_audio += 1;
        if self.unusable_audio >= UNUSABLE_AUDIO_MAX && !self.has_video && !self.has_audio_config {
            return Err(error.into());
        }
        self.warn(Warning::SoundLeftOut(error.to_string()));
        Ok(if self.unusable_audio == 1 {
            self.expect_no_audio()
        } else {
            None
        })
    }

    /// What is sent need not wait for sound that never comes.
    fn expect_no_audio(&self) -> Option<Input> {
        let video = self.expects_video.unwrap_or(true);
        (!self.has_audio_config).then_some(Input::Expect {
            video,
            audio: false,
        })
    }
}
