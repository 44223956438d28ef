//! Who may publish a stream: keys at rest are salted SHA-256 hashes.

use crate::Error;
use crate::record::Record;
use astral_proto::Slug;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest publish key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// What ends a key in a URL, begins something else there, or is taken apart by a shell or an encoder on the way.
const NOT_IN_KEYS: &str = "&?/#%\\\"'`<>";

/// A publish key at rest: it can be checked, not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    salt: [u8; 16],
    hash: [u8; 32],
}

impl StoredKey {
    /// Hashes `key` with a random `salt`.
    ///
    /// # Errors
    /// `bad_request` if the key is empty, longer than [`KEY_BYTES_MAX`], or one that an encoder cannot send.
    pub fn new(key: &str, salt: [u8; 16]) -> Result<Self, Error> {
        check(key)?;
        Ok(Self {
            salt,
            hash: hash(key, &salt),
        })
    }

    /// Takes a key that was hashed elsewhere: 16 letters or digits of salt, a colon, and in hexadecimal the SHA-256 of
    /// salt and key.
    ///
    /// # Errors
    /// `bad_request`, which does not quote `text`.
    pub fn from_hashed(text: &str) -> Result<Self, Error> {
        let parts = text.split_once(':').and_then(|(salt, hash)| {
            let salt: [u8; 16] = salt.as_bytes().try_into().ok()?;
            salt.iter().all(u8::is_ascii_alphanumeric).then_some(Self {
                salt,
                hash: from_hex(hash)?,
            })
        });
        parts.ok_or(Error::KeyHash)
    }

    /// Whether `key` is the one.
    pub fn opens(&self, key: &str) -> bool {
        key.len() <= KEY_BYTES_MAX && hash(key, &self.salt) == self.hash
    }
}

/// Refuses what does not arrive as it was typed. An encoder sends the key as a part of a URL or as its stream key, where
/// some characters end the key, and others are changed on the way.
fn check(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Error::KeyLength { bytes: key.len() });
    }
    match key
        .chars()
        .find(|char| !char.is_ascii_graphic() || NOT_IN_KEYS.contains(*char))
    {
        Some(bad) => Err(Error::KeyCharacter(bad)),
        None => Ok(()),
    }
}

fn hash(key: &str, salt: &[u8; 16]) -> [u8; 32] {
    Sha256::new()
        .chain_update(salt)
        .chain_update(key)
        .finalize()
        .into()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Lets whoever has `key` publish `slug`, or says why not. Under `open` publishing a stream without a key takes
/// anyone, and one not known yet is made.
///
/// # Errors
/// `unauthenticated` without the right key; `forbidden` if no key would do.
pub fn may_publish(
    slug: &Slug,
    record: Option<&Record>,
    key: Option<&str>,
    open: bool,
) -> Result<(), Error> {
    let stored = record.and_then(|record| record.key.as_ref());
    match (stored, key) {
        (Some(stored), Some(key)) if stored.opens(key) => Ok(()),
        (Some(_), Some(_)) => Err(Error::KeyWrong(slug.clone())),
        (Some(_), None) => Err(Error::KeyMissing(slug.clone())),
        (None, _) if open => Ok(()),
        // The same errors as for a stream that exists, so that nobody can find out names by trying.
        (None, Some(_)) if record.is_none() => Err(Error::KeyWrong(slug.clone())),
        (None, None) if record.is_none() => Err(Error::KeyMissing(slug.clone())),
        (None, _) => Err(Error::OpenPublishingOff(slug.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use astral_proto::Code;
    use astral_proto::UnixMillis;

    fn record(key: Option<&str>) -> Record {
        let key = key.map(|key| StoredKey::new(key, [7; 16]).unwrap());
        Record::new("demo".parse().unwrap(), key, 0, UnixMillis::new(0))
    }

    #[test]
    fn who_may_publish() {
        let keyed = record(Some("secret"));
        let keyless = record(None);
        let table = [
            (Some(&keyed), Some("secret"), false, None),
            (Some(&keyed), Some("secret"), true, None),
            (
                Some(&keyed),
                Some("guess"),
                true,
                Some(Code::Unauthenticated),
            ),
            (Some(&keyed), None, true, Some(Code::Unauthenticated)),
            (Some(&keyless), None, true, None),
            (Some(&keyless), Some("any"), true, None),
            (Some(&keyless), Some("any"), false, Some(Code::Forbidden)),
            (Some(&keyless), None, false, Some(Code::Forbidden)),
            (None, None, true, None),
            (None, None, false, Some(Code::Unauthenticated)),
            (None, Some("guess"), false, Some(Code::Unauthenticated)),
        ];
        for (record, key, open, refused) in table {
            let told = may_publish(&"demo".parse().unwrap(), record, key, open);
            assert_eq!(
                told.err().map(|error| error.code()),
                refused,
                "{key:?} open={open}"
            );
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_refused_in_the_words_of_one_that_is() {
        let slug = "demo".parse().unwrap();
        for key in [None, Some("guess")] {
            let there = may_publish(&slug, Some(&record(Some("secret"))), key, false);
            assert_eq!(there, may_publish(&slug, None, key, false));
        }
    }

    #[test]
    fn keys_have_a_length() {
        for bad in ["", &"x".repeat(257)] {
            assert_eq!(
                StoredKey::new(bad, [0; 16]).unwrap_err(),
                Error::KeyLength { bytes: bad.len() }
            );
        }
        assert!(
            StoredKey::new(&"x".repeat(256), [0; 16])
                .unwrap()
                .opens(&"x".repeat(256))
        );
    }

    #[test]
    fn a_key_is_one_that_an_encoder_can_send() {
        for good in ["secret", "aZ09-_.~", "YWJjZA==", "a+b,c:d;e@f$g!h*"] {
            assert!(StoredKey::new(good, [0; 16]).is_ok(), "{good}");
        }
        for bad in [
            " ", "&", "?", "/", "#", "%20", "\t", "\0", "\u{7f}", "\n", "\\", "\"", "ü", "日本",
        ] {
            for key in [
                format!("xyzzy{bad}xyzzy"),
                format!("{bad}xyzzy"),
                format!("xyzzy{bad}"),
            ] {
                let refused = StoredKey::new(&key, [0; 16]).unwrap_err();
                assert!(matches!(refused, Error::KeyCharacter(_)), "{key}");
                assert!(!refused.to_string().contains("xyzzy"), "{refused}");
            }
        }
    }

    #[test]
    fn a_key_hashed_elsewhere_has_one_form() {
        let hash = "0f".repeat(32);
        StoredKey::from_hashed(&format!("0123456789abcdef:{hash}")).unwrap();
        for bad in [
            String::new(),
            hash.clone(),
            format!("0123456789abcde:{hash}"),
            format!("0123456789abcde-:{hash}"),
            format!("0123456789abcdef:{}", &hash[1..]),
            format!("0123456789abcdef:{}é", &hash[2..]),
        ] {
            assert_eq!(
                StoredKey::from_hashed(&bad).unwrap_err(),
                Error::KeyHash,
                "{bad}"
            );
        }
    }

    #[test]
    fn the_same_key_rests_differently_under_another_salt() {
        assert_ne!(
            StoredKey::new("secret", [0; 16]),
            StoredKey::new("secret", [1; 16])
        );
    }
}
