//! The keys that sign tickets. The newest key signs. During a rotation the previous key stays
//! known, because tickets that it signed are still valid.

use crate::error::Error;
use astral_backend::{Change, State};
use astral_env::Env;
use astral_proto::message::Offer;
use astral_proto::ticket::{Claims, encode_key, sign};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use std::path::{Path, PathBuf};

const COLLECTION: &str = "ticket-keys";
const ID: &str = "signing";
/// Most keys in a file: the one in use and, during a rotation, the previous one.
const KEYS_MAX: usize = 2;

/// The signing keys, newest first.
#[derive(Debug)]
pub struct Keys {
    seeds: Vec<SigningKey>,
    shared: bool,
}

impl Keys {
    /// Reads the keys from `file`. Without a file, takes the key that all brokers share in the
    /// state, and makes one if there is none.
    ///
    /// # Errors
    /// [`Error::KeyFile`] and [`Error::SharedKeyMalformed`]; those of the state.
    pub async fn load(file: Option<&Path>, state: &State, env: &Env) -> Result<Self, Error> {
        match file {
            Some(path) => Ok(Self {
                seeds: read(path)?,
                shared: false,
            }),
            None => {
                let made = SigningKey::from_bytes(&env.bytes());
                let text = put_if_absent(state, &encode(&made)).await?;
                Ok(Self {
                    seeds: parse(&text).ok_or(Error::SharedKeyMalformed)?,
                    shared: true,
                })
            }
        }
    }

    /// Restores the shared key after a loss of state, so that a broker that starts later signs with
    /// the same one.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn restore(&self, state: &State) -> Result<(), Error> {
        if self.shared {
            put_if_absent(state, &encode(self.signing())).await?;
        }
        Ok(())
    }

    /// The public halves, newest first.
    pub fn public(&self) -> Vec<String> {
        self.seeds
            .iter()
            .map(|key| encode_key(&key.verifying_key()))
            .collect()
    }

    /// Signs a ticket. `advertise` is the host:port of its provider.
    pub fn offer(&self, claims: &Claims, advertise: String) -> Offer {
        Offer {
            id: claims.id,
            provider: claims.provider,
            advertise,
            token: sign(claims, self.signing()).into(),
        }
    }

    fn signing(&self) -> &SigningKey {
        self.seeds
            .first()
            .expect("keys are never loaded without one")
    }
}

/// Checks a key file while the command line is parsed, so that the message names the flag.
///
/// # Errors
/// [`Error::KeyFile`].
pub fn key_file(path: &str) -> Result<PathBuf, Error> {
    read(Path::new(path)).map(|_| path.into())
}

const FORMAT: &str =
    "it must hold 1 or 2 Ed25519 seeds of 32 bytes as base64url, one on a line, newest first";

async fn put_if_absent(state: &State, text: &str) -> Result<String, Error> {
    let decide = |known: Option<String>| match known {
        Some(known) => Change::Keep(known),
        None => Change::Put {
            value: text.to_string(),
            ttl: None,
            result: text.to_string(),
        },
    };
    Ok(state.update(COLLECTION, ID, decide).await?)
}

fn encode(key: &SigningKey) -> String {
    URL_SAFE_NO_PAD.encode(key.to_bytes())
}

fn parse(text: &str) -> Option<Vec<SigningKey>> {
    let lines = text.split_whitespace();
    let seeds: Option<Vec<SigningKey>> = lines.map(parse_seed).collect();
    seeds.filter(|seeds| (1..=KEYS_MAX).contains(&seeds.len()))
}

fn parse_seed(text: &str) -> Option<SigningKey> {
    let seed: [u8; 32] = URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .ok()?
        .try_into()
        .ok()?;
    Some(SigningKey::from_bytes(&seed))
}

fn read(path: &Path) -> Result<Vec<SigningKey>, Error> {
    let unusable = |reason: String| Error::KeyFile {
        path: path.into(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    parse(&text).ok_or_else(|| unusable(FORMAT.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use astral_backend::Backend;

    #[tokio::test]
    async fn brokers_of_one_state_sign_with_one_key_and_put_it_back_after_a_wipe() {
        let state = Backend::local().state;
        let env = Env::system();
        let first = Keys::load(None, &state, &env).await.unwrap();
        assert_eq!(
            Keys::load(None, &state, &env).await.unwrap().public(),
            first.public()
        );
        state.remove(COLLECTION, ID).await.unwrap();
        first.restore(&state).await.unwrap();
        assert_eq!(
            Keys::load(None, &state, &env).await.unwrap().public(),
            first.public()
        );
    }

    #[test]
    fn a_file_holds_one_key_or_two_during_a_rotation() {
        let [a, b] = [1, 2].map(|seed| encode(&SigningKey::from_bytes(&[seed; 32])));
        assert_eq!(parse(&format!("{a}\n{b}\n")).unwrap().len(), 2);
        for bad in [
            "",
            "short",
            &format!("{a} {b} {a}"),
            &format!("{a}\nnonsense"),
        ] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }
}
