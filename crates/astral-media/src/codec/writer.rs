//! Writes bits, most significant first, and the exp-Golomb codes of H.264 (ISO/IEC 14496-10, 9.1).

/// Collects bits.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// The free bits of the last byte.
    room: u32,
}

impl BitWriter {
    /// Writes the lowest `count` bits of `value`, at most 32.
    pub(super) fn put(&mut self, count: u32, value: u32) {
        for at in (0..count).rev() {
            if self.room == 0 {
                self.bytes.push(0);
                self.room = 8;
            }
            self.room -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> at & 1) as u8) << self.room;
            }
        }
    }

    /// Writes an unsigned exp-Golomb code, `ue(v)`, of a value below 2³¹.
    pub(super) fn put_unsigned(&mut self, value: u32) {
        let code = value + 1;
        let digits = code.ilog2();
        self.put(digits, 0);
        self.put(digits + 1, code);
    }

    /// Writes zeros up to the next byte.
    pub(super) fn align(&mut self) {
        self.room = 0;
    }

    /// Writes whole bytes. The position must be between two bytes.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.align();
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the bytes. The last one is filled up with zeros.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::Bits;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in proptest::collection::vec((1u32..=32, 0u32..1 << 30), 0..40)) {
            let mut writer = BitWriter::default();
            for (count, value) in &fields {
                writer.put(*count, *value);
                writer.put_unsigned(*value);
            }
            let bytes = writer.finish();
            let mut bits = Bits::new(&bytes, "test");
            for (count, value) in &fields {
                let mask = u32::MAX >> (32 - count);
                prop_assert_eq!(bits.take(*count), Ok(value & mask));
                prop_assert_eq!(bits.unsigned(), Ok(*value));
            }
        }
    }
}
