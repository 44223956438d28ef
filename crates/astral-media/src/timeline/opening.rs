//! The first moments of a publish: what comes before both tracks are known is held back, within limits.

use super::Input;

/// Most messages held back while a publisher has not said all of what it sends: about a second.
const HELD_MAX: usize = 96;

/// Holds back media until every expected track has told its parameters.
#[derive(Default)]
pub struct Opening {
    open: bool,
    expected: Option<(bool, bool)>,
    has_video: bool,
    has_audio: bool,
    held: Vec<Input>,
}

/// What to do with a message.
pub enum Admitted {
    /// Nothing yet.
    Hold,
    /// Take it.
    Pass(Input),
    /// Take all of these, in order.
    Open(Vec<Input>),
}

impl Opening {
    pub fn admit(&mut self, input: Input) -> Admitted {
        if self.open {
            return Admitted::Pass(input);
        }
        self.note(&input);
        self.held.push(input);
        if self.is_complete() || self.held.len() >= HELD_MAX {
            return Admitted::Open(self.finish());
        }
        Admitted::Hold
    }

    /// What was held back, parameters first, so that the first GOP has both tracks.
    pub fn finish(&mut self) -> Vec<Input> {
        self.open = true;
        let mut held = std::mem::take(&mut self.held);
        let is_media =
            |input: &Input| matches!(input, Input::Video { .. } | Input::Audio { .. } | Input::Data { .. });
        held.sort_by_key(is_media);
        held
    }

    fn note(&mut self, input: &Input) {
        match input {
            Input::Expect { video, audio } => self.expected = Some((*video, *audio)),
            Input::VideoParameters(_) => self.has_video = true,
            Input::AudioParameters(_) => self.has_audio = true,
            Input::Video { .. } | Input::Audio { .. } | Input::Data { .. } => {}
        }
    }

    /// Complete once both tracks are known, or as many as were announced.
    fn is_complete(&self) -> bool {
        match self.expected {
            Some((video, audio)) if video || audio => {
                (self.has_video || !video) && (self.has_audio || !audio)
            }
            _ => self.has_video && self.has_audio,
        }
    }
}
