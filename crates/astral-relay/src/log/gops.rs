//! The GOPs of a log, and what they take in memory.

use super::gop::Gop;
use astral_media::frame::{Frame, GopEnd, GopStart};
use astral_proto::{FrameId, Incarnation};
use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::sync::Arc;

/// The GOPs of a log, oldest first. Their numbers rise, but may leave out some.
#[derive(Default)]
pub struct Gops {
    queue: VecDeque<Gop>,
    memory_bytes: usize,
}

impl Gops {
    /// From the oldest to the newest.
    pub fn iter(&self) -> Iter<'_, Gop> {
        self.queue.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// The GOP at `index`, the oldest at 0.
    pub fn get(&self, index: usize) -> Option<&Gop> {
        self.queue.get(index)
    }

    /// The oldest.
    pub fn oldest(&self) -> Option<&Gop> {
        self.queue.front()
    }

    /// The newest.
    pub fn newest(&self) -> Option<&Gop> {
        self.queue.back()
    }

    /// The GOP with this number.
    pub fn find(&self, number: u64) -> Option<&Gop> {
        self.get(self.index_from(number))
            .filter(|gop| gop.start.gop == number)
    }

    /// The index of the first GOP whose number is `number` or more.
    pub fn index_from(&self, number: u64) -> usize {
        self.queue.partition_point(|gop| gop.start.gop < number)
    }

    /// About what they take in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Appends an open GOP.
    pub fn push(&mut self, start: GopStart) {
        let gop = Gop::new(start);
        self.memory_bytes += gop.memory_bytes();
        self.queue.push_back(gop);
    }

    /// Appends a frame to the newest GOP. Returns whether it completed a part.
    pub fn push_frame(&mut self, frame: Arc<Frame>) -> bool {
        let Some(gop) = self.queue.back_mut() else {
            return false;
        };
        self.memory_bytes += Gop::memory_bytes_of(&frame);
        gop.push(frame)
    }

    /// Completes the newest GOP, if `end` is its end and it is open. Returns whether it was.
    pub fn finish_newest(&mut self, end: &GopEnd) -> bool {
        match self.queue.back_mut() {
            Some(gop) if gop.start.gop == end.gop && gop.end.is_none() => {
                gop.finish(end);
                true
            }
            _ => false,
        }
    }

    /// Drops the oldest GOP.
    pub fn evict_oldest(&mut self) {
        let gone = self.queue.pop_front();
        self.memory_bytes -= gone.map_or(0, |gop| gop.memory_bytes());
    }

    /// The newest frame.
    pub fn newest_frame(&self) -> Option<FrameId> {
        self.iter().rev().find_map(Gop::newest)
    }

    /// When the newest frame ends on the timeline of the stream, microseconds.
    pub fn end_dts(&self) -> Option<u64> {
        self.iter().rev().find_map(Gop::end_dts)
    }

    /// The duration of all of them together, microseconds.
    pub fn duration_us(&self) -> u64 {
        self.iter().map(Gop::duration_us).sum()
    }

    /// The history that they belong to.
    pub fn incarnation(&self) -> Incarnation {
        self.newest()
            .map(|gop| gop.start.parameters.incarnation)
            .unwrap_or_default()
    }

    /// The target duration, once the origin has fixed it.
    pub fn target_duration_seconds(&self) -> Option<u32> {
        self.iter().rev().find_map(Gop::target_duration_seconds)
    }
}
