//! Which tracks a publish has, and how each is decoded: tracks may begin late, end, and come back.

use crate::frame::{AudioParameters, Track, VideoParameters};

/// Video that has not come for this long while sound went on has ended, microseconds.
const VIDEO_ENDED_MICROS: u64 = 3_000_000;
/// Sound that has not come for this long while pictures went on has ended, microseconds.
const AUDIO_ENDED_MICROS: u64 = 1_000_000;

#[derive(Default)]
pub struct Tracks {
    video: Option<VideoParameters>,
    audio: Option<AudioParameters>,
    /// Whether frames of the track come.
    present: [bool; 2],
    video_waits_for_keyframe: bool,
    audio_waits_for_gop: bool,
    /// How far the stream was when a frame of the track came last.
    seen_at: [Option<u64>; 2],
}

impl Tracks {
    /// Says whether frames of `track` come.
    pub fn set_present(&mut self, track: Track, present: bool) {
        self.present[track as usize] = present;
    }

    pub fn set_video(&mut self, video: VideoParameters) {
        if self.video.as_ref() != Some(&video) {
            self.video = Some(video);
            self.video_waits_for_keyframe = true;
        }
    }

    /// Whether they are new.
    pub fn set_audio(&mut self, audio: &AudioParameters) -> bool {
        let is_new = self.audio.as_ref() != Some(audio);
        if is_new {
            self.audio = Some(audio.clone());
            self.audio_waits_for_gop = true;
        }
        is_new
    }

    /// Whether a video frame can be decoded.
    pub fn takes_video(&self, keyframe: bool) -> bool {
        self.video.is_some() && (keyframe || self.is_video_running())
    }

    /// Whether an audio frame can be decoded: beside video it waits for a GOP whose parameters name it.
    pub fn takes_audio(&mut self) -> bool {
        if self.audio.is_none() {
            return false;
        }
        let is_new = !std::mem::replace(&mut self.present[Track::Audio as usize], true);
        self.audio_waits_for_gop |= is_new;
        self.seen_at[Track::Audio as usize] = self.seen_at[Track::Video as usize];
        self.is_audio_only() || !self.audio_waits_for_gop
    }

    /// Whether there is nothing but sound now.
    pub fn is_audio_only(&self) -> bool {
        self.video.is_none() || !self.present[Track::Video as usize]
    }

    /// Whether sound has come that the open GOP has no parameters for.
    pub fn audio_waits_for_gop(&self) -> bool {
        self.audio_waits_for_gop
    }

    /// Whether the open GOP cannot take the video or the sound that comes now.
    pub fn wait_for_keyframe(&self) -> bool {
        !self.is_video_running() || self.audio_waits_for_gop && self.audio.is_some()
    }

    /// A keyframe at `dts` starts a GOP. Sound that has not come for a while is left out of it.
    pub fn video_arrives(&mut self, dts: u64) {
        let heard_at = self.seen_at[Track::Audio as usize];
        let is_silent = heard_at.is_some_and(|heard_at| heard_at + AUDIO_ENDED_MICROS < dts);
        if is_silent {
            self.present[Track::Audio as usize] = false;
        }
        self.present[Track::Video as usize] = true;
        self.video_waits_for_keyframe = false;
        self.seen_at(Track::Video, dts);
    }

    /// A frame of `track` has come when the stream is at `position`.
    pub fn seen_at(&mut self, track: Track, position: u64) {
        self.seen_at[track as usize] = Some(position);
    }

    /// Whether sound goes on to `position` without a picture since long.
    pub fn video_has_ended(&self, position: u64) -> bool {
        self.seen_at[Track::Video as usize].is_some_and(|seen_at| seen_at + VIDEO_ENDED_MICROS <= position)
    }

    /// Goes on with sound alone; video comes back with a keyframe.
    pub fn video_ends(&mut self) {
        self.present[Track::Video as usize] = false;
    }

    /// How to decode the GOP that starts now.
    pub fn of_next_gop(&mut self) -> (Option<VideoParameters>, Option<AudioParameters>) {
        self.audio_waits_for_gop = false;
        let video = self.video.clone().filter(|_| self.present[Track::Video as usize]);
        let audio = self.audio.clone().filter(|_| self.present[Track::Audio as usize]);
        (video, audio)
    }

    fn is_video_running(&self) -> bool {
        self.present[Track::Video as usize] && !self.video_waits_for_keyframe
    }
}
