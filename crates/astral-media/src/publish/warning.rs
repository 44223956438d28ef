//! Warnings to publishers. The stream continues, but not as well as it could.

use crate::flv::FlvError;
use std::fmt;

/// Something that should be changed at the encoder. The text says what is wrong, what it causes,
/// and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Keyframes are not IDR pictures.
    OpenGop,
    /// The picture is refreshed column by column instead of by keyframes.
    IntraRefresh,
    /// GOPs are longer than a segment may be.
    LongGop,
    /// All frames of this kind have the same timestamp.
    TimestampsStandStill(&'static str),
    /// Frames of this kind came without a codec configuration.
    NoConfig(&'static str),
    /// There is a second track of this kind.
    SecondTrack(&'static str),
    /// Audio came although the metadata announced a stream without audio.
    UnannouncedAudio,
    /// The audio cannot be used. The text says why.
    SoundLeftOut(String),
    /// A message cannot be used. The text says why.
    LeftOut(String),
    /// There are too many data messages, or they are too large.
    DataLeftOut,
}

impl Warning {
    /// Returns the warning for a message that is dropped because of `error`.
    pub(super) fn of_left_out(error: &FlvError) -> Self {
        match error {
            FlvError::Multitrack(kind) => Self::SecondTrack(kind),
            other => Self::LeftOut(other.to_string()),
        }
    }

    /// Returns the value of a metric label. It never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OpenGop => "open_gop",
            Self::IntraRefresh => "intra_refresh",
            Self::LongGop => "long_gop",
            Self::TimestampsStandStill(_) => "timestamps_stand_still",
            Self::NoConfig(_) => "no_config",
            Self::SecondTrack(_) => "second_track",
            Self::UnannouncedAudio => "unannounced_audio",
            Self::SoundLeftOut(_) => "sound_left_out",
            Self::LeftOut(_) => "left_out",
            Self::DataLeftOut => "data_left_out",
        }
    }

    /// All values of [`Warning::reason`].
    pub const REASONS: [&'static str; 10] = [
        "open_gop",
        "intra_refresh",
        "long_gop",
        "timestamps_stand_still",
        "no_config",
        "second_track",
        "unannounced_audio",
        "sound_left_out",
        "left_out",
        "data_left_out",
    ];

    /// Returns the status code of the RTMP message that tells the encoder.
    pub fn status_code(&self) -> &'static str {
        match self {
            Self::LongGop => "NetStream.Publish.InsufficientKeyframes",
            _ => "NetStream.Publish.Warning",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenGop => out.write_str(
                "keyframes are not IDR pictures (open GOP), so browsers cannot start at them: switch to closed GOPs",
            ),
            Self::IntraRefresh => out.write_str(
                "the picture is refreshed in pieces (intra refresh), so browsers cannot start: switch it off and \
                 send a keyframe every 2 seconds",
            ),
            Self::LongGop => {
                out.write_str("keyframes are too far apart: set the keyframe interval to 2 seconds")
            }
            Self::TimestampsStandStill(kind) => write!(
                out,
                "all {kind} frames have the same timestamp, so no player can play them correctly: check the clock of the encoder"
            ),
            Self::NoConfig(kind) => write!(
                out,
                "the {kind} has no sequence header, so nobody can decode it: it is dropped until one comes"
            ),
            Self::SecondTrack(kind) => {
                write!(out, "a second {kind} track is dropped: only the first one is played")
            }
            Self::UnannouncedAudio => out.write_str(
                "the metadata announced no audio, but audio came, so some viewers have to reload: enable audio before \
                 the stream starts",
            ),
            Self::SoundLeftOut(why) => write!(out, "the stream continues without sound: {why}"),
            Self::LeftOut(why) => write!(out, "a message was dropped: {why}"),
            Self::DataLeftOut => out.write_str("data messages are dropped: there are too many, or they are too large"),
        }
    }
}
