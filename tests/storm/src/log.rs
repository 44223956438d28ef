//! What happened, line by line, and a number that stands for all of it.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Lines kept where not all are.
const LAST_LINES: usize = 400;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, since the beginning.
    pub at: Duration,
    /// What.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>7} {}", self.at.as_millis(), self.text)
    }
}

/// The log of one run.
#[derive(Debug)]
pub struct Log {
    lines: VecDeque<Line>,
    keeps_all: bool,
    count: u64,
    trace: u64,
}

impl Log {
    /// An empty log, which keeps all its lines or only the last ones.
    pub fn new(keeps_all: bool) -> Self {
        Self {
            lines: VecDeque::new(),
            keeps_all,
            count: 0,
            trace: FNV_OFFSET,
        }
    }

    /// Adds a line.
    pub fn add(&mut self, at: Duration, text: String) {
        self.count += 1;
        self.trace = fnv(self.trace, &at.as_micros().to_le_bytes());
        self.trace = fnv(self.trace, text.as_bytes());
        if !self.keeps_all && self.lines.len() == LAST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at, text });
    }

    /// How many lines there have been.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// A number made of every line there has been.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// The lines that are kept.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.iter().cloned().collect()
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a over `bytes`, from `hash` on.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

/// A short name for a payload.
pub fn digest(bytes: &[u8]) -> String {
    format!("{:08x}", fnv(FNV_OFFSET, bytes) as u32)
}
