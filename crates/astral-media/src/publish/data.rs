//! Limits the data messages of a publisher. Each media message allows some more bytes of data. So
//! no clock is needed. After the first burst, a stream has at most one data message for each media
//! message.

use bytes::Bytes;

/// Longest data message that is passed on, in bytes.
pub const DATA_BYTES_MAX: usize = 64 << 10;
/// Most messages in a burst.
const MESSAGES_MAX: u32 = 32;
/// Most bytes in a burst.
const BYTES_MAX: usize = 128 << 10;
/// Bytes that each media message allows: about 75 kB per second.
const BYTES_PER_MEDIA_MESSAGE: usize = 1 << 10;

/// The remaining allowance.
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
    /// Adds to the allowance for a media message.
    pub fn grow(&mut self) {
        self.messages = MESSAGES_MAX.min(self.messages + 1);
        self.bytes = BYTES_MAX.min(self.bytes + BYTES_PER_MEDIA_MESSAGE);
    }

    /// Takes a data message. Returns whether it may be passed on.
    pub fn take(&mut self, body: &Bytes) -> bool {
        let fits = self.messages > 0 && body.len() <= self.bytes.min(DATA_BYTES_MAX);
        if fits {
            self.messages -= 1;
            self.bytes -= body.len();
        }
        fits
    }
}
