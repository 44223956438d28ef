//! Decides what happens with each message of a publisher: it becomes an input of the timeline, it
//! causes a warning to the publisher, or the publish is refused.
//!
//! Messages that cannot be used are dropped with a warning, and the rest is played. A publish is
//! refused only if players could show nothing: if the video has another codec, or if payloads are
//! in the form of another container.

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

/// A publish with this many audio messages of another codec and nothing else is refused. That is
/// about five seconds.
const UNUSABLE_AUDIO_MAX: u32 = 250;
/// After this many frames without a codec configuration there is a warning.
const FRAMES_BEFORE_CONFIG_MAX: u32 = 100;
/// Size of NAL unit lengths in bytes until a configuration states another one.
const NAL_LENGTH_BYTES: usize = 4;

/// Why a publish is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The video has another codec, or there is only audio with another codec.
    #[error(transparent)]
    Flv(#[from] FlvError),
    /// The video configuration cannot be parsed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The H.264 video has start codes (annex B) instead of lengths.
    #[error(
        "the video is an Annex B byte stream (with start codes): send each NAL unit after its length, as FLV requires"
    )]
    AnnexB,
    /// The AAC audio has ADTS headers.
    #[error(
        "the audio has ADTS headers: send raw AAC frames after an AudioSpecificConfig, as FLV requires"
    )]
    Adts,
}

impl PublishError {
    /// Returns the value of a metric label. It never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Flv(_) => "flv",
            Self::Codec(_) => "codec",
            Self::AnnexB => "annex_b",
            Self::Adts => "adts",
        }
    }
}

/// Reads one publish message by message.
#[derive(Default)]
pub struct PublishReader {
    nal_length_bytes: Option<usize>,
    has_audio_config: bool,
    has_video: bool,
    expects_video: Option<bool>,
    /// Whether the metadata names a video codec and no audio codec.
    denies_audio: bool,
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
    /// Creates a reader at the start of a publish.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the warnings since the last call. Each kind is given once per publish.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    /// Adds a warning, unless this publish already had one of its kind.
    pub fn warn(&mut self, warning: Warning) {
        if !self.given.contains(&warning.reason()) {
            self.given.push(warning.reason());
            self.warnings.push(warning);
        }
    }

    /// Takes `onMetaData`. Returns what the publisher will send, and the metadata itself if it has
    /// changed. The first metadata is not returned, because relays describe the stream to players
    /// by themselves.
    ///
    /// Many cameras write metadata without codecs. Such metadata does not say which tracks will
    /// come, so it announces nothing.
    pub fn metadata(&mut self, metadata: &StreamMetadata) -> [Option<Input>; 2] {
        let names_codecs = metadata.video_codec.is_some() || metadata.audio_codec.is_some();
        self.expects_video = Some(metadata.expects_video);
        self.denies_audio = names_codecs && metadata.expects_video && !metadata.expects_audio;
        let expected = names_codecs.then_some(Input::Expect {
            video: metadata.expects_video,
            audio: metadata.expects_audio && self.unusable_audio == 0,
        });
        let before = self.metadata.replace(metadata.body.clone());
        let is_changed = before.is_some_and(|before| before != metadata.body);
        let data = if is_changed {
            self.data(metadata.body.clone())
        } else {
            None
        };
        [expected, data]
    }

    /// Takes the body of a data message.
    pub fn data(&mut self, body: Bytes) -> Option<Input> {
        if self.data_share.take(&body) {
            return Some(Input::Data { payload: body });
        }
        self.warn(Warning::DataLeftOut);
        None
    }

    /// Takes the body of a video message with timestamp `timestamp_ms`.
    ///
    /// # Errors
    /// [`PublishError`] if the publish must be refused.
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

    /// Returns whether a picture can be used.
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
                "the NAL units of a picture do not add up to its size".into(),
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

    /// Warns about a picture at which decoders may start although it is not an IDR picture.
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

    /// Takes the body of an audio message with timestamp `timestamp_ms`.
    ///
    /// # Errors
    /// [`PublishError`] if the publish must be refused.
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
                if self.denies_audio {
                    self.warn(Warning::UnannouncedAudio);
                }
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

    /// Drops audio of another codec with a warning. Returns an error if the publish consists of
    /// nothing else.
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

    /// Tells the timeline not to wait for audio, which will never come.
    fn expect_no_audio(&self) -> Option<Input> {
        let video = self.expects_video.unwrap_or(true);
        (!self.has_audio_config).then_some(Input::Expect {
            video,
            audio: false,
        })
    }
}
