//! What whoever runs an encoder should know: the stream goes on, but not as it could.

use crate::flv::FlvError;
use std::fmt;

/// What should be changed at an encoder. Its text says what is wrong, what comes of it, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Keyframes that are no IDR pictures.
    OpenGop,
    /// A picture that is refreshed column by column instead of by keyframes.
    IntraRefresh,
    /// GOPs that are longer than a segment may be.
    LongGop,
    /// Each frame of this kind has the same timestamp.
    TimestampsStandStill(&'static str),
    /// Frames of this kind came without the configuration that says how to decode them.
    NoConfig(&'static str),
    /// A second track of this kind is left out.
    SecondTrack(&'static str),
    /// Sound that cannot be used, and why.
    SoundLeftOut(String),
    /// Messages that mean nothing, and why.
    LeftOut(String),
    /// More data messages than are passed on.
    DataLeftOut,
}

impl Warning {
    /// The warning for messages that are left out because of `error`.
    pub(super) fn of_left_out(error: &FlvError) -> Self {
        match error {
            FlvError::Multitrack(kind) => Self::SecondTrack(kind),
            other => Self::LeftOut(other.to_string()),
        }
    }

    /// A short stable word for a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OpenGop => "open_gop",
            Self::IntraRefresh => "intra_refresh",
            Self::LongGop => "long_gop",
            Self::TimestampsStandStill(_) => "timestamps_stand_still",
            Self::NoConfig(_) => "no_config",
            Self::SecondTrack(_) => "second_track",
            Self::SoundLeftOut(_) => "sound_left_out",
            Self::LeftOut(_) => "left_out",
            Self::DataLeftOut => "data_left_out",
        }
    }

    /// Every reason there is.
    pub const REASONS: [&'static str; 9] = [
        "open_gop",
        "intra_refresh",
        "long_gop",
        "timestamps_stand_still",
        "no_config",
        "second_track",
        "sound_left_out",
        "left_out",
        "data_left_out",
    ];

    /// The code of the status that tells an encoder.
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
                "keyframes are not IDR pictures (open GOP), which browsers cannot start at: switch to closed GOPs",
            ),
            Self::IntraRefresh => out.write_str(
                "the picture is refreshed in pieces (intra refresh), which browsers cannot start at: switch it off and \
                 send a keyframe every 2 seconds",
            ),
            Self::LongGop => {
                out.write_str("keyframes are too far apart: set the keyframe interval to 2 seconds")
            }
            Self::TimestampsStandStill(kind) => write!(
                out,
                "all {kind} frames have the same timestamp, so no player can show them in time: check the encoder's clock"
            ),
            Self::NoConfig(kind) => write!(
                out,
                "{kind} came without a sequence header, which says how to decode it: it is left out until one comes"
            ),
            Self::SecondTrack(kind) => {
                write!(out, "a second {kind} track is left out: only the first is played")
            }
            Self::SoundLeftOut(why) => write!(out, "the stream goes on without sound: {why}"),
            Self::LeftOut(why) => write!(out, "a message was left out: {why}"),
            Self::DataLeftOut => out.write_str("data messages are left out: too many or too large ones come"),
        }
    }
}
