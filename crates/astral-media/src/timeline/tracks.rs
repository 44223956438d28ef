//! Which tracks an epoch has, and how each is decoded. Tracks may begin late, end, and come back.
//!
//! The number of tracks must not change while anyone watches: Media Source Extensions reject an
//! initialization section with another number of tracks (algorithm "initialization segment
//! received"), and playback ends. A browser also shows nothing while one of its tracks has nothing
//! buffered. So a track that was announced, or has come once, stays. While the publisher sends none
//! of it, the origin makes silence, or repeats the last keyframe, or makes black pictures. Only one
//! case changes the number of tracks: the publisher has announced that it will not send a track,
//! and sends it after all. There is then a discontinuity (rfc8216bis, 4.4.4.3).

use crate::codec::{black::black_picture, silence::silent_frame};
use crate::frame::{AudioCodec, AudioParameters, Track, VideoParameters};
use bytes::Bytes;

/// Video has ended if none came for this long while audio continued, microseconds. Pictures may be
/// up to this far apart.
const VIDEO_ENDED_MICROS: u64 = 3_000_000;
/// Audio has ended if none came for this long while pictures continued, microseconds. Players
/// buffer about twice as much, so they get silence before they run out.
const AUDIO_ENDED_MICROS: u64 = 300_000;
/// The same for a publisher whose audio has come late once.
const AUDIO_ENDED_MICROS_MAX: u64 = 1_000_000;
/// Audio has not ended before this many pictures came without it: pictures may be seconds apart.
const PICTURES_WITHOUT_AUDIO: u32 = 2;
/// Parameters of audio that was announced without any: AAC-LC, 44.1 kHz, stereo.
const AUDIO_CONFIG: [u8; 2] = [0x12, 0x10];
const AUDIO_SAMPLE_RATE: u32 = 44_100;
const AUDIO_CHANNELS: u8 = 2;
/// Size of black pictures if video was announced without parameters.
const PICTURE_SIZE: (u16, u16) = (640, 360);

/// Whether frames of a track come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Presence {
    /// The publisher sends none.
    #[default]
    Away,
    /// They come, but the open GOP has no parameters for them.
    Waiting,
    /// The open GOP takes them.
    Running,
}

/// The picture that is sent while no video comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// A keyframe.
    pub payload: Bytes,
    /// Presentation time minus decoding time, microseconds.
    pub cts: i32,
}

#[derive(Default)]
pub struct Tracks {
    video: Option<VideoParameters>,
    audio: Option<AudioParameters>,
    presence: [Presence; 2],
    /// Whether a track is part of every GOP, even if none of its frames come.
    declared: [bool; 2],
    /// The position of the stream when the last frame of the track came.
    seen_at: [Option<u64>; 2],
    pictures_since_audio: u32,
    audio_ended_micros: Option<u64>,
    /// Parameters of the open GOP.
    video_now: Option<VideoParameters>,
    audio_now: Option<AudioParameters>,
    stand_in: Option<StandIn>,
}

impl Tracks {
    /// Makes `track` part of the next GOP and all after it.
    pub fn declare(&mut self, track: Track) {
        self.declared[track as usize] = true;
    }

    /// Declares `track`, and notes that its frames come.
    pub fn expect(&mut self, track: Track) {
        self.declare(track);
        self.presence[track as usize] = Presence::Waiting;
    }

    /// Sets the parameters of video.
    pub fn set_video(&mut self, video: VideoParameters) {
        if self.video.as_ref() != Some(&video) {
            self.video = Some(video);
            self.wait(Track::Video);
        }
    }

    /// Sets the parameters of audio. Returns whether they have changed.
    pub fn set_audio(&mut self, audio: &AudioParameters) -> bool {
        let is_new = self.audio.as_ref() != Some(audio);
        if is_new {
            self.audio = Some(audio.clone());
            self.wait(Track::Audio);
        }
        is_new
    }

    /// Returns whether a video frame that comes now can be decoded.
    pub fn takes_video(&self, keyframe: bool) -> bool {
        self.video.is_some() && (keyframe || self.is_running(Track::Video))
    }

    /// Returns whether an audio frame that comes now is used. In a stream with video it is dropped
    /// until a GOP begins whose parameters include audio. Also notes that audio has come.
    pub fn takes_audio(&mut self) -> bool {
        if self.audio.is_none() {
            return false;
        }
        if self.presence[Track::Audio as usize] == Presence::Away {
            let is_described = self.audio_now == self.audio;
            self.presence[Track::Audio as usize] = if is_described {
                Presence::Running
            } else {
                Presence::Waiting
            };
        }
        self.pictures_since_audio = 0;
        self.seen_at[Track::Audio as usize] = self.seen_at[Track::Video as usize];
        self.is_running(Track::Audio) || self.is_audio_only() || self.is_away(Track::Video)
    }

    /// Returns whether audio is the only track.
    pub fn is_audio_only(&self) -> bool {
        !self.declared[Track::Video as usize]
    }

    /// Returns whether audio comes that the open GOP has no parameters for.
    pub fn audio_waits_for_gop(&self) -> bool {
        self.audio.is_some() && self.presence[Track::Audio as usize] == Presence::Waiting
    }

    /// Returns whether the open GOP takes audio.
    pub fn takes_audio_now(&self) -> bool {
        self.is_running(Track::Audio)
    }

    /// Returns whether the open GOP cannot take the video or the audio that comes now.
    pub fn wait_for_keyframe(&self) -> bool {
        !self.is_running(Track::Video) || self.audio_waits_for_gop()
    }

    /// Notes that a keyframe of the publisher starts a GOP.
    pub fn video_arrives(&mut self) {
        self.declare(Track::Video);
        self.presence[Track::Video as usize] = Presence::Running;
    }

    /// Keeps a keyframe, to be repeated if no more video comes.
    pub fn keep_keyframe(&mut self, payload: &Bytes, cts: i32) {
        self.stand_in = Some(StandIn {
            payload: payload.clone(),
            cts,
        });
    }

    /// Notes that a frame of `track` came when the stream was at `position`.
    pub fn seen_at(&mut self, track: Track, position: u64) {
        self.seen_at[track as usize] = Some(position);
        if track == Track::Video {
            self.pictures_since_audio = self.pictures_since_audio.saturating_add(1);
        }
    }

    /// Notes that audio came late, after silence had filled its place. From now on silence is made
    /// later.
    pub fn audio_was_late(&mut self) {
        self.audio_ended_micros = Some(AUDIO_ENDED_MICROS_MAX);
    }

    /// Returns whether audio is missing while pictures have reached `position`. Notes that audio
    /// has ended if it has been missing for too long.
    pub fn audio_has_ended(&mut self, position: u64) -> bool {
        let patience = self.audio_ended_micros.unwrap_or(AUDIO_ENDED_MICROS);
        let heard_at = self.seen_at[Track::Audio as usize];
        let is_silent = self.pictures_since_audio >= PICTURES_WITHOUT_AUDIO
            && heard_at.is_none_or(|heard_at| heard_at + patience < position);
        if is_silent {
            self.presence[Track::Audio as usize] = Presence::Away;
        }
        !self.is_running(Track::Audio)
    }

    /// Returns whether pictures are missing while audio has reached `position`. Notes that video
    /// has ended if it has been missing for too long.
    pub fn video_has_ended(&mut self, position: u64) -> bool {
        let seen_at = self.seen_at[Track::Video as usize];
        if seen_at.is_some_and(|seen_at| seen_at + VIDEO_ENDED_MICROS <= position) {
            self.presence[Track::Video as usize] = Presence::Away;
        }
        self.is_away(Track::Video)
    }

    /// Returns the parameters of the GOP that starts at `position`.
    pub fn of_next_gop(
        &mut self,
        position: u64,
    ) -> (Option<VideoParameters>, Option<AudioParameters>) {
        if self.audio_waits_for_gop() {
            self.declare(Track::Audio);
            self.presence[Track::Audio as usize] = Presence::Running;
            self.seen_at[Track::Audio as usize].get_or_insert(position);
        }
        self.audio_now = self.audio_of_next_gop();
        self.video_now = self.video_of_next_gop();
        (self.video_now.clone(), self.audio_now.clone())
    }

    /// Returns a silent frame for the open GOP; `None` if it has no audio, or channels for which no
    /// silence is known.
    pub fn silence(&self) -> Option<Bytes> {
        silent_frame(&self.audio_now.as_ref()?.config)
    }

    /// Returns the picture to send in the open GOP while no video comes.
    pub fn stand_in(&self) -> Option<StandIn> {
        self.stand_in.clone()
    }

    fn audio_of_next_gop(&self) -> Option<AudioParameters> {
        if !self.declared[Track::Audio as usize] {
            return None;
        }
        let has_silence = |audio: &&AudioParameters| silent_frame(&audio.config).is_some();
        let known = match self.presence[Track::Audio as usize] {
            Presence::Running => self.audio.as_ref(),
            _ => self
                .audio_now
                .as_ref()
                .or(self.audio.as_ref())
                .filter(has_silence),
        };
        Some(known.cloned().unwrap_or_else(announced_audio))
    }

    fn video_of_next_gop(&mut self) -> Option<VideoParameters> {
        if !self.declared[Track::Video as usize] {
            return None;
        }
        if self.is_running(Track::Video) {
            return self.video.clone();
        }
        if self.stand_in.is_some() {
            return self.video_now.clone();
        }
        let (width, height) = self
            .video
            .as_ref()
            .map_or(PICTURE_SIZE, |video| (video.width, video.height));
        let (parameters, payload) = black_picture(width, height);
        self.stand_in = Some(StandIn { payload, cts: 0 });
        Some(parameters)
    }

    fn wait(&mut self, track: Track) {
        if self.is_running(track) {
            self.presence[track as usize] = Presence::Waiting;
        }
    }

    fn is_running(&self, track: Track) -> bool {
        self.presence[track as usize] == Presence::Running
    }

    fn is_away(&self, track: Track) -> bool {
        self.presence[track as usize] == Presence::Away
    }
}

fn announced_audio() -> AudioParameters {
    AudioParameters {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&AUDIO_CONFIG),
        sample_rate: AUDIO_SAMPLE_RATE,
        channels: AUDIO_CHANNELS,
    }
}

#[cfg(test)]
mod tests;
