//! Turns audio, video and data messages into numbered frames.

use super::Timeline;
use super::gop::OpenGop;
use crate::frame::{AudioParameters, Frame, Media, Track};
use astral_proto::FrameId;
use bytes::Bytes;
use std::sync::Arc;

/// Two data frames are at least this far apart: FLV and RTMP count milliseconds.
const DATA_STEP_MICROS: u64 = 1_000;
/// Most data messages that wait for the first frame.
pub(super) const EARLY_DATA_MAX: usize = 32;

impl Timeline {
    pub(super) fn take_audio_parameters(&mut self, audio: AudioParameters) {
        if self.tracks.set_audio(&audio) {
            self.clock.set_audio_rate(
                audio.sample_rate,
                crate::codec::frame_duration_samples(&audio),
            );
        }
    }

    pub(super) fn take_video(
        &mut self,
        timestamp: u32,
        cts_ms: i32,
        keyframe: bool,
        payload: Bytes,
        out: &mut Vec<Media>,
    ) {
        if !self.tracks.takes_video(keyframe) {
            return;
        }
        let Some(dts) = self.clock.time(Track::Video, timestamp) else {
            return;
        };
        self.stand_in_for_audio(dts, out);
        let cts = cts_ms.saturating_mul(1000);
        if keyframe && self.keyframe_starts_gop(dts) {
            self.tracks.video_arrives();
            self.start_gop(Track::Video, dts, true, out);
        } else {
            self.cut_at_video(dts, out);
        }
        self.tracks.seen_at(Track::Video, dts);
        if keyframe {
            self.tracks.keep_keyframe(&payload, cts);
        }
        self.emit(Track::Video, keyframe, dts, cts, payload, out);
    }

    pub(super) fn take_audio(&mut self, timestamp: u32, payload: Bytes, out: &mut Vec<Media>) {
        if !self.tracks.takes_audio() {
            return;
        }
        let Some(dts) = self.clock.time(Track::Audio, timestamp) else {
            return self.tracks.audio_was_late();
        };
        let position = self
            .gop
            .as_mut()
            .map_or(dts, |gop| gop.position_with(Track::Audio, dts));
        self.tracks.seen_at(Track::Audio, position);
        if self.tracks.is_audio_only() {
            self.start_audio_gop_when_due(dts, out);
        } else if self.tracks.video_has_ended(position) {
            self.stand_in_for_video(position, out);
        } else if self.gop.as_ref().is_some_and(OpenGop::is_full) {
            self.start_gop(Track::Audio, dts, false, out);
        }
        if self.tracks.takes_audio_now() {
            self.emit(Track::Audio, true, dts, 0, payload, out);
        }
    }

    /// Data waits until the stream has a frame, because it takes the time of the newest one. If too
    /// many messages wait, the oldest are dropped.
    pub(super) fn take_data(&mut self, payload: Bytes, out: &mut Vec<Media>) {
        if self.gop.as_ref().is_some_and(|gop| gop.frames > 0) {
            return self.emit_data(payload, out);
        }
        if self.early_data.len() == EARLY_DATA_MAX {
            self.early_data.remove(0);
        }
        self.early_data.push(payload);
    }

    fn emit_data(&mut self, payload: Bytes, out: &mut Vec<Media>) {
        let Some(gop) = &mut self.gop else { return };
        let dts = self
            .last_data_dts
            .map_or(0, |last| last + DATA_STEP_MICROS)
            .max(self.newest_dts);
        self.last_data_dts = Some(dts);
        let id = FrameId::new(gop.number, gop.frames);
        gop.add_data(payload.len());
        self.newest = id;
        let part = gop.part;
        let part_starts_at = gop.part_offset();
        let track = Track::Data;
        let frame = Frame {
            id,
            track,
            keyframe: true,
            dts,
            cts: 0,
            part,
            part_starts_at,
            payload,
        };
        out.push(Media::Frame(Arc::new(frame)));
    }

    pub(super) fn emit(
        &mut self,
        track: Track,
        keyframe: bool,
        dts: u64,
        cts: i32,
        payload: Bytes,
        out: &mut Vec<Media>,
    ) {
        let Some(gop) = &mut self.gop else { return };
        let id = FrameId::new(gop.number, gop.frames);
        gop.add(track, dts, payload.len(), self.clock.audio_frame_micros());
        self.newest = id;
        self.newest_dts = self.newest_dts.max(dts);
        let part = gop.part;
        let part_starts_at = gop.part_offset();
        out.push(Media::Frame(Arc::new(Frame {
            id,
            track,
            keyframe,
            dts,
            cts,
            part,
            part_starts_at,
            payload,
        })));
        for early in std::mem::take(&mut self.early_data) {
            self.emit_data(early, out);
        }
    }
}
