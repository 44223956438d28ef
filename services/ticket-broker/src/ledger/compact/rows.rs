//! Rows of ids and numbers, as base64 text.

use astral_proto::UnixMillis;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

const ID_BYTES: usize = 16;
/// The bit of a byte that says that more bytes of the number follow.
const MORE: u8 = 0x80;
/// Bits of a number in one byte.
const BITS: u32 = 7;

/// Writes rows.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn id(&mut self, id: Uuid) {
        self.0.extend_from_slice(id.as_bytes());
    }

    /// Writes a number, the lowest seven bits first.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= u64::from(MORE) {
            self.0.push(number as u8 | MORE);
            number >>= BITS;
        }
        self.0.push(number as u8);
    }

    /// Writes how far `to` is from `from`, in either direction. The lowest bit is the sign (zigzag
    /// encoding), so small distances take few bytes.
    pub(super) fn distance(&mut self, from: UnixMillis, to: UnixMillis) {
        let distance = to.get().wrapping_sub(from.get()) as i64;
        self.number(((distance << 1) ^ (distance >> 63)) as u64);
    }

    pub(super) fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// Reads rows, in the order in which they were written. Each method returns None at the end and for
/// malformed bytes.
pub(super) struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    pub(super) fn of(text: &str) -> Option<Self> {
        Some(Self {
            bytes: URL_SAFE_NO_PAD.decode(text).ok()?,
            at: 0,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn id(&mut self) -> Option<Uuid> {
        let bytes = self.bytes.get(self.at..self.at + ID_BYTES)?;
        self.at += ID_BYTES;
        Uuid::from_slice(bytes).ok()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(BITS as usize) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & !MORE) << shift;
            if byte & MORE == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn distance(&mut self, from: UnixMillis) -> Option<UnixMillis> {
        let number = self.number()?;
        let distance = (number >> 1) as i64 ^ -((number & 1) as i64);
        Some(UnixMillis::new(from.get().wrapping_add(distance as u64)))
    }
}
