//! The first moments of a publish: what comes before every track has shown itself is held back, within limits.

use super::Input;
use crate::frame::Track;

/// Most messages held back while a track is awaited: about a second.
const HELD_MAX: usize = 96;
/// Longest time that anything is held back, milliseconds.
const HELD_MS_MAX: u64 = 2_000;

/// A message and when it was received, Unix milliseconds.
pub type Received = (Input, u64);

/// Holds back media until a frame of every expected track is there, so that the first GOP has all of them.
#[derive(Default)]
pub struct Opening {
    open: bool,
    expected: Option<(bool, bool)>,
    has_parameters: [bool; 2],
    has_frame: [bool; 2],
    held: Vec<Received>,
}

/// What to do with a message.
pub enum Admitted {
    /// Nothing yet.
    Hold,
    /// Take it.
    Pass(Received),
    /// Take all of these, in order.
    Open(Vec<Received>),
}

impl Opening {
    pub fn admit(&mut self, input: Input, wall_clock_ms: u64) -> Admitted {
        if self.open {
            return Admitted::Pass((input, wall_clock_ms));
        }
        self.note(&input);
        self.held.push((input, wall_clock_ms));
        let held_since = self.held.first().map_or(wall_clock_ms, |(_, since)| *since);
        let is_over =
            self.held.len() >= HELD_MAX || wall_clock_ms.saturating_sub(held_since) >= HELD_MS_MAX;
        if is_over || self.is_complete() {
            return Admitted::Open(self.finish());
        }
        Admitted::Hold
    }

    /// What was held back, parameters first, so that the first GOP has both tracks.
    pub fn finish(&mut self) -> Vec<Received> {
        self.open = true;
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

    /// Whether a frame of `track` and its parameters came while media was held back.
    pub fn has_begun(&self, track: Track) -> bool {
        self.has_parameters[track as usize] && self.has_frame[track as usize]
    }

    /// Whether the publisher has said that it will send `track`, or how to decode it. One that says nothing of what it sends
    /// may send sound later: until then it is silent, which nobody notices.
    pub fn is_announced(&self, track: Track) -> bool {
        let (video, audio) = self
            .expected
            .unwrap_or((false, self.has_begun(Track::Video)));
        let is_said = if track == Track::Video { video } else { audio };
        is_said || self.has_parameters[track as usize]
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

    /// Complete once both tracks are there, or as many as were announced.
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
