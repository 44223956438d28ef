//! Which tracks a publish has, and how each is decoded: tracks may begin late, end, and come back.
//!
//! A browser that plays a stream has told its decoder how many tracks there are, and Media Source Extensions
//! (3.5.9, initialization segment received) end the playback when an initialization section has another number. Nothing is shown either while one
//! of the tracks has nothing buffered. So a track that was announced or has come once stays: while its publisher sends none
//! of it, the origin makes silence, or shows the last keyframe again. Only a track that nobody announced changes the number,
//! with a discontinuity, as rfc8216bis (4.4.4.3) has it.

use crate::codec::{black::black_picture, silence::silent_frame};
use crate::frame::{AudioCodec, AudioParameters, Track, VideoParameters};
use bytes::Bytes;

/// Video that has not come for this long while sound went on has ended, microseconds. Pictures may be so far apart.
const VIDEO_ENDED_MICROS: u64 = 3_000_000;
/// Sound that has not come for this long while pictures went on has ended, microseconds: a player has about twice as much in
/// reserve.
const AUDIO_ENDED_MICROS: u64 = 300_000;
/// The same for a publisher whose sound has turned out to come late.
const AUDIO_ENDED_MICROS_MAX: u64 = 1_000_000;
/// Sound has not ended before so many pictures came without it: pictures may be seconds apart.
const PICTURES_WITHOUT_AUDIO: u32 = 2;
/// Sound that is announced and not described: AAC-LC, 44.1 kHz, stereo.
const AUDIO_CONFIG: [u8; 2] = [0x12, 0x10];
const AUDIO_SAMPLE_RATE: u32 = 44_100;
const AUDIO_CHANNELS: u8 = 2;
/// Size of a picture that is announced and not described.
const PICTURE_SIZE: (u16, u16) = (640, 360);

/// Where a track stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Presence {
    /// Its publisher sends none of it.
    #[default]
    Away,
    /// It comes, and the open GOP cannot take it.
    Waiting,
    /// The open GOP takes it.
    Running,
}

/// What is shown while no video comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// A keyframe.
    pub payload: Bytes,
    /// Its presentation less its decoding time, microseconds.
    pub cts: i32,
}

#[derive(Default)]
pub struct Tracks {
    video: Option<VideoParameters>,
    audio: Option<AudioParameters>,
    presence: [Presence; 2],
    /// Whether a track is part of every GOP, whatever comes of it.
    declared: [bool; 2],
    /// How far the stream was when a frame of the track came last.
    seen_at: [Option<u64>; 2],
    pictures_since_audio: u32,
    audio_ended_micros: Option<u64>,
    /// Of the open GOP.
    video_now: Option<VideoParameters>,
    audio_now: Option<AudioParameters>,
    stand_in: Option<StandIn>,
}

impl Tracks {
    /// Makes `track` part of every GOP from the next one on.
    pub fn declare(&mut self, track: Track) {
        self.declared[track as usize] = true;
    }

    /// Says that frames of `track` come.
    pub fn expect(&mut self, track: Track) {
        self.declare(track);
        self.presence[track as usize] = Presence::Waiting;
    }

    pub fn set_video(&mut self, video: VideoParameters) {
        if self.video.as_ref() != Some(&video) {
            self.video = Some(video);
            self.wait(Track::Video);
        }
    }

    /// Whether they are new.
    pub fn set_audio(&mut self, audio: &AudioParameters) -> bool {
        let is_new = self.audio.as_ref() != Some(audio);
        if is_new {
            self.audio = Some(audio.clone());
            self.wait(Track::Audio);
        }
        is_new
    }

    /// Whether a video frame can be decoded.
    pub fn takes_video(&self, keyframe: bool) -> bool {
        self.video.is_some() && (keyframe || self.is_running(Track::Video))
    }

    /// Whether an audio frame that comes now counts: beside video it waits for a GOP whose parameters name it.
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

    /// Whether there is nothing but sound.
    pub fn is_audio_only(&self) -> bool {
        !self.declared[Track::Video as usize]
    }

    /// Whether sound has come that the open GOP has no parameters for.
    pub fn audio_waits_for_gop(&self) -> bool {
        self.audio.is_some() && self.presence[Track::Audio as usize] == Presence::Waiting
    }

    /// Whether the open GOP takes sound.
    pub fn takes_audio_now(&self) -> bool {
        self.is_running(Track::Audio)
    }

    /// Whether the open GOP cannot take the video or the sound that comes now.
    pub fn wait_for_keyframe(&self) -> bool {
        !self.is_running(Track::Video) || self.audio_waits_for_gop()
    }

    /// A keyframe starts a GOP.
    pub fn video_arrives(&mut self) {
        self.declare(Track::Video);
        self.presence[Track::Video as usize] = Presence::Running;
    }

    /// A keyframe of the video has come, which stands in should no more come.
    pub fn keep_keyframe(&mut self, payload: &Bytes, cts: i32) {
        self.stand_in = Some(StandIn {
            payload: payload.clone(),
            cts,
        });
    }

    /// A frame of `track` has come when the stream is at `position`.
    pub fn seen_at(&mut self, track: Track, position: u64) {
        self.seen_at[track as usize] = Some(position);
        if track == Track::Video {
            self.pictures_since_audio = self.pictures_since_audio.saturating_add(1);
        }
    }

    /// Sound has come late, and had not ended: it is waited for longer from now on.
    pub fn audio_was_late(&mut self) {
        self.audio_ended_micros = Some(AUDIO_ENDED_MICROS_MAX);
    }

    /// Whether pictures go on to `position` without the sound that should be there.
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

    /// Whether sound goes on to `position` without the pictures that should be there.
    pub fn video_has_ended(&mut self, position: u64) -> bool {
        let seen_at = self.seen_at[Track::Video as usize];
        if seen_at.is_some_and(|seen_at| seen_at + VIDEO_ENDED_MICROS <= position) {
            self.presence[Track::Video as usize] = Presence::Away;
        }
        self.is_away(Track::Video)
    }

    /// How to decode the GOP that starts at `position`.
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

    /// A silent frame for the open GOP; none if it has no audio, or a layout of channels that has no silence.
    pub fn silence(&self) -> Option<Bytes> {
        silent_frame(&self.audio_now.as_ref()?.config)
    }

    /// What is shown in the open GOP while no video comes.
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
