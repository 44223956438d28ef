//! Holds back the first messages of an epoch until every expected track has begun.
//!
//! Without this, the first GOP would have one track and the second would have two. Players do not
//! accept that: see [`super::tracks`].

use super::Input;
use crate::frame::Track;
use astral_proto::UnixMillis;
use std::time::Duration;

/// Most messages that are held back: about one second of audio and video.
const HELD_MAX: usize = 96;
/// Longest time for which a message is held back.
const HELD_TIME_MAX: Duration = Duration::from_secs(2);

/// A message and when it was received.
pub type Received = (Input, UnixMillis);

/// The buffer. It opens once, and lets every message pass from then on.
#[derive(Default)]
pub struct StartBuffer {
    is_open: bool,
    /// What the publisher announced: video, audio. `None` if it announced nothing.
    expected: Option<(bool, bool)>,
    has_parameters: [bool; 2],
    has_frame: [bool; 2],
    held: Vec<Received>,
}

/// What to do with a message.
pub enum Admission {
    /// Nothing yet.
    Hold,
    /// Take the message.
    Pass(Received),
    /// Take all of these messages in order. The buffer has opened.
    Release(Vec<Received>),
}

impl StartBuffer {
    pub fn admit(&mut self, input: Input, wall_clock: UnixMillis) -> Admission {
        if self.is_open {
            return Admission::Pass((input, wall_clock));
        }
        self.note(&input);
        self.held.push((input, wall_clock));
        let held_since = self.held.first().map_or(wall_clock, |(_, since)| *since);
        let is_over = self.held.len() >= HELD_MAX || wall_clock.since(held_since) >= HELD_TIME_MAX;
        if is_over || self.is_complete() {
            return Admission::Release(self.release());
        }
        Admission::Hold
    }

    /// Opens the buffer. Returns what was held back, parameters first, so that the first GOP has
    /// both tracks.
    pub fn release(&mut self) -> Vec<Received> {
        self.is_open = true;
        let mut held = std::mem::take(&mut self.held);
        let is_media = |input: &Input| {
            matches!(
                input,
                Input::Video { .. } | Input::Audio { .. } | Input::Data { .. }
            )
        };
        held.sort_by_key(|(input, _)| is_media(input));
        held
    }

    /// Returns whether a frame of `track` and its parameters came while the buffer was closed.
    pub fn has_begun(&self, track: Track) -> bool {
        self.has_parameters[track as usize] && self.has_frame[track as usize]
    }

    /// Returns whether the publisher announced `track`, or sent its parameters. A publisher that
    /// announces nothing may begin to send audio later, so its stream gets an audio track at once,
    /// which is silent until then.
    pub fn is_announced(&self, track: Track) -> bool {
        let (video, audio) = self
            .expected
            .unwrap_or((false, self.has_begun(Track::Video)));
        let is_expected = if track == Track::Video { video } else { audio };
        is_expected || self.has_parameters[track as usize]
    }

    fn note(&mut self, input: &Input) {
        match input {
            Input::Expect { video, audio } => self.expected = Some((*video, *audio)),
            Input::VideoParameters(_) => self.has_parameters[Track::Video as usize] = true,
            Input::AudioParameters(_) => self.has_parameters[Track::Audio as usize] = true,
            Input::Video { .. } => self.has_frame[Track::Video as usize] = true,
            Input::Audio { .. } => self.has_frame[Track::Audio as usize] = true,
            Input::Data { .. } => {}
        }
    }

    /// Returns whether all announced tracks have begun; without an announcement, both.
    fn is_complete(&self) -> bool {
        let has_video = self.has_begun(Track::Video);
        let has_audio = self.has_begun(Track::Audio);
        match self.expected {
            Some((video, audio)) if video || audio => {
                (has_video || !video) && (has_audio || !audio)
            }
            _ => has_video && has_audio,
        }
    }
}
