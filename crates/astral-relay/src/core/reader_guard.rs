//! One connected reader of a stream.

use super::readers::ReaderKind;
use super::stream::Stream;
use std::sync::Arc;
use tokio::time::Instant;

/// A reader, which counts until it is dropped.
pub struct ReaderGuard {
    stream: Arc<Stream>,
    kind: ReaderKind,
    since: Instant,
}

impl ReaderGuard {
    /// Counts one more reader of `stream`.
    pub fn new(stream: &Arc<Stream>, kind: ReaderKind) -> Self {
        stream.readers.join(kind);
        Self {
            stream: stream.clone(),
            kind,
            since: Instant::now(),
        }
    }

    /// The stream that it reads.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Notes that so many bytes were sent to it.
    pub fn sent(&self, bytes: usize) {
        self.stream.readers.add_sent(self.kind, self.since, bytes);
    }
}

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.stream.readers.leave(self.kind);
        self.stream.touch();
    }
}
