//! How much data a publisher may send beside its media: a share that grows with the media, so that no clock is needed
//! and no stream is more data than media.

use bytes::Bytes;

/// Longest data message that is passed on, in bytes.
pub const DATA_BYTES_MAX: usize = 64 << 10;
/// Most messages at once.
const MESSAGES_MAX: u32 = 32;
/// Most bytes at once.
const BYTES_MAX: usize = 128 << 10;
/// What each media message adds to the bytes that may be sent: about 75 kB a second.
const BYTES_PER_MEDIA_MESSAGE: usize = 1 << 10;

/// What is left of the share.
pub struct DataShare {
    messages: u32,
    bytes: usize,
}

impl Default for DataShare {
    fn default() -> Self {
        Self {
            messages: MESSAGES_MAX,
            bytes: BYTES_MAX,
        }
    }
}

impl DataShare {
    /// A media message has come.
    pub fn grow(&mut self) {
        self.messages = MESSAGES_MAX.min(self.messages + 1);
        self.bytes = BYTES_MAX.min(self.bytes + BYTES_PER_MEDIA_MESSAGE);
    }

    /// Takes a data message; whether it may be passed on.
    pub fn take(&mut self, body: &Bytes) -> bool {
        let fits = self.messages > 0 && body.len() <= self.bytes.min(DATA_BYTES_MAX);
        if fits {
            self.messages -= 1;
            self.bytes -= body.len();
        }
        fits
    }
}
