//! Reads bits, most significant first, and the exp-Golomb codes of H.264 (ISO/IEC 14496-10, 9.1).

use super::CodecError;

/// Reads the bits of `bytes`. `what` is their name in errors.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
    what: &'static str,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self {
            bytes,
            position: 0,
            what,
        }
    }

    /// Reads one bit.
    pub(super) fn flag(&mut self) -> Result<bool, CodecError> {
        let byte = self
            .bytes
            .get(self.position / 8)
            .ok_or(CodecError::Truncated(self.what))?;
        let set = byte >> (7 - self.position % 8) & 1 == 1;
        self.position += 1;
        Ok(set)
    }

    /// Reads `count` bits (at most 32) as an unsigned number.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, CodecError> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Ok(value)
    }

    /// Reads an unsigned exp-Golomb code: `ue(v)`.
    pub(super) fn unsigned(&mut self) -> Result<u32, CodecError> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(CodecError::ExpGolomb);
            }
        }
        Ok((1 << zeros) - 1 + self.take(zeros)?)
    }

    /// Reads an unsigned exp-Golomb code of at most `max`. `name` is the name of the field in the
    /// standard.
    pub(super) fn bounded(&mut self, name: &'static str, max: u32) -> Result<u32, CodecError> {
        let value = self.unsigned()?;
        if value > max {
            Err(CodecError::Field { name, value, max })
        } else {
            Ok(value)
        }
    }

    /// Reads a signed exp-Golomb code: `se(v)`.
    pub(super) fn signed(&mut self) -> Result<i64, CodecError> {
        let code = i64::from(self.unsigned()?);
        Ok(if code % 2 == 1 {
            code / 2 + 1
        } else {
            -(code / 2)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_the_standard() {
        // 1, 010, 011, 00100, 00101: the first rows of table 9-2.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = Bits::new(&bytes, "test");
        let unsigned: Vec<u32> = (0..5).map(|_| bits.unsigned().unwrap()).collect();
        assert_eq!(unsigned, [0, 1, 2, 3, 4]);
        let mut bits = Bits::new(&bytes, "test");
        let signed: Vec<i64> = (0..5).map(|_| bits.signed().unwrap()).collect();
        assert_eq!(signed, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn longest_code_is_read_and_a_longer_one_refused() {
        let longest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe];
        assert_eq!(Bits::new(&longest, "test").unsigned(), Ok(u32::MAX - 1));
        assert_eq!(
            Bits::new(&[0; 8], "test").unsigned(),
            Err(CodecError::ExpGolomb)
        );
        assert_eq!(
            Bits::new(&[0], "test").unsigned(),
            Err(CodecError::Truncated("test"))
        );
    }
}
