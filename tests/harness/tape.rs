//! Recordings of real encoders, sent like cameras, phones and screens send: with clocks that jump
//! and differ, with missing pictures and sound, and in bursts.

use crate::{Rtmp, splice};
use astral_media::flv::{TYPE_AUDIO, TYPE_DATA, TYPE_VIDEO};
use bytes::Bytes;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The first timestamp, so that a clock can be set back, milliseconds.
const START_MS: i64 = 20_000;
/// Second byte of the body of a tag with a configuration.
const CONFIGURATION: u8 = 0;

/// One message of a publisher.
#[derive(Clone, Debug)]
pub struct Message {
    /// When it was recorded, milliseconds from the start. It never changes.
    pub recorded_ms: i64,
    /// When it is sent, milliseconds after the start of the publish.
    pub sent_ms: i64,
    /// Its timestamp, milliseconds after the first.
    pub timestamp_ms: i64,
    /// 8 is audio, 9 video, 18 data.
    pub kind: u8,
    /// The body of its tag.
    pub body: Bytes,
}

impl Message {
    /// Returns whether it is video or audio, and not a configuration.
    pub fn is_frame(&self) -> bool {
        self.kind != TYPE_DATA && self.body.get(1) != Some(&CONFIGURATION)
    }

    /// Returns whether it is a keyframe.
    pub fn is_keyframe(&self) -> bool {
        self.is_frame()
            && self.kind == TYPE_VIDEO
            && self.body.first().is_some_and(|head| head >> 4 == 1)
    }
}

/// The tracks to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Both.
    Both,
}

impl Of {
    fn includes(self, message: &Message) -> bool {
        match self {
            Of::Video => message.kind == TYPE_VIDEO,
            Of::Audio => message.kind == TYPE_AUDIO,
            Of::Both => message.kind != TYPE_DATA,
        }
    }
}

/// A recorded publish.
#[derive(Clone, Debug)]
pub struct Tape(pub Vec<Message>);

impl Tape {
    /// Records what ffmpeg makes with `arguments`. It is sent in real time.
    ///
    /// # Panics
    /// If ffmpeg makes nothing.
    pub async fn record(arguments: &str) -> Self {
        let message = |tag: astral_media::flv::Tag| Message {
            recorded_ms: tag.timestamp_ms.into(),
            sent_ms: tag.timestamp_ms.into(),
            timestamp_ms: tag.timestamp_ms.into(),
            kind: tag.tag_type,
            body: tag.body,
        };
        Self(
            splice::tags(arguments)
                .await
                .into_iter()
                .map(message)
                .collect(),
        )
    }

    /// Moves the timestamps of `of` from `from_ms` on by `by_ms`. They are sent at the same time as
    /// before.
    pub fn shift(mut self, of: Of, from_ms: i64, by_ms: i64) -> Self {
        for message in &mut self.0 {
            if of.includes(message) && message.is_frame() && message.sent_ms >= from_ms {
                message.timestamp_ms += by_ms;
            }
        }
        self
    }

    /// Removes the frames of `of` in `hole`, milliseconds.
    pub fn without(mut self, of: Of, hole: Range<i64>) -> Self {
        let is_gone = |message: &Message| {
            of.includes(message) && message.is_frame() && hole.contains(&message.sent_ms)
        };
        self.0.retain(|message| !is_gone(message));
        self
    }

    /// Delays the configuration of `of` until `until_ms`.
    pub fn described_at(mut self, of: Of, until_ms: i64) -> Self {
        for message in &mut self.0 {
            if of.includes(message) && !message.is_frame() {
                message.sent_ms = message.sent_ms.max(until_ms);
                message.timestamp_ms = message.timestamp_ms.max(until_ms);
            }
        }
        self.in_order()
    }

    /// Removes the metadata.
    pub fn without_data(mut self) -> Self {
        self.0.retain(|message| message.kind != TYPE_DATA);
        self
    }

    /// Adds the messages of `of` from `other`.
    pub fn and(mut self, other: Self, of: Of) -> Self {
        self.0
            .extend(other.0.into_iter().filter(|message| of.includes(message)));
        self.in_order()
    }

    /// Holds back everything in `during`, milliseconds, and sends it at its end at once.
    pub fn hold(mut self, during: Range<i64>) -> Self {
        for message in &mut self.0 {
            if during.contains(&message.sent_ms) {
                message.sent_ms = during.end;
            }
        }
        self
    }

    /// Delays everything from `from_ms` on by `by_ms`, including the timestamps, like a publisher
    /// that had nothing to send.
    pub fn pause(mut self, from_ms: i64, by_ms: i64) -> Self {
        for message in self
            .0
            .iter_mut()
            .filter(|message| message.sent_ms >= from_ms)
        {
            message.sent_ms += by_ms;
            message.timestamp_ms += by_ms;
        }
        self
    }

    /// Keeps the pictures for whose number `keeps` is true, and everything else. The pictures must
    /// not depend on each other.
    pub fn thinned(mut self, keeps: impl Fn(usize) -> bool) -> Self {
        let mut number = 0;
        self.0.retain(|message| {
            let is_picture = message.kind == TYPE_VIDEO && message.is_frame();
            number += usize::from(is_picture);
            !is_picture || keeps(number - 1)
        });
        self
    }

    /// Returns when its pictures were recorded, in the order of sending, milliseconds from the
    /// start.
    pub fn pictures(&self) -> Vec<i64> {
        let pictures = self
            .0
            .iter()
            .filter(|message| message.kind == TYPE_VIDEO && message.is_frame());
        pictures.map(|message| message.recorded_ms).collect()
    }

    /// Returns when the last message is sent, milliseconds.
    pub fn length_ms(&self) -> i64 {
        self.0
            .iter()
            .map(|message| message.sent_ms)
            .max()
            .unwrap_or_default()
    }

    fn in_order(mut self) -> Self {
        self.0.sort_by_key(|message| message.sent_ms);
        self
    }

    /// Publishes it as `slug` to the RTMP address `rtmp` in real time. The publisher stays
    /// connected until it is dropped.
    ///
    /// # Panics
    /// If the publish is refused.
    pub async fn play(self, rtmp: SocketAddr, slug: &str) -> Playing {
        let mut client = Rtmp::publish(rtmp, slug).await;
        let task = tokio::spawn(async move {
            let begun = Instant::now();
            for message in self.0 {
                sleep_until(begun + Duration::from_millis(message.sent_ms.max(0) as u64)).await;
                let timestamp_ms = (START_MS + message.timestamp_ms) as u32;
                let chunk_stream = if message.kind == TYPE_VIDEO { 6 } else { 4 };
                if !client
                    .message_at(chunk_stream, message.kind, timestamp_ms, &message.body)
                    .await
                {
                    break;
                }
            }
            client
        });
        Playing { task }
    }
}

/// A recording that is being published.
pub struct Playing {
    task: JoinHandle<Rtmp>,
}

impl Playing {
    /// Returns whether everything has been sent, or the relay has closed the connection.
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.task.abort();
    }
}
