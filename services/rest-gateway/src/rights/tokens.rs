//! The tokens file: who has which role. Tokens rest hashed, in it and here.
//!
//! ```toml
//! [[token]]
//! name = "operations"     # for logs and messages
//! role = "admin"          # or "read", or "node"
//! sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
//!
//! [[token]]
//! name = "venue"
//! role = "node"
//! node = "6c0a6d1c-6b8e-4b7a-8a53-94f3a8f3b1f1"
//! sha256 = "…"
//! ```
//!
//! A token and its hash: `token=$(openssl rand -hex 32); echo "$token"; printf %s "$token" | sha256sum`. Tokens are long
//! and random, so their hash needs neither salt nor stretching.

use astral_proto::NodeId;
use astral_runtime::{read_lock, write_lock};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};
use std::{fs, io};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// Between two looks at whether the file has changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest token that a caller may present, in bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// What a token lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenRole {
    /// Everything.
    Admin,
    /// Act for one node.
    Node,
    /// Look at the network.
    Read,
}

impl TokenRole {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            TokenRole::Admin => "admin",
            TokenRole::Node => "node",
            TokenRole::Read => "read",
        }
    }
}

/// One token, of which only the hash is known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) role: TokenRole,
    /// The one node that it acts for.
    pub(crate) node: Option<NodeId>,
    sha256: Hash,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Hash([u8; 32]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Entry>,
}

/// The tokens file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--api-tokens-file {}: {why}", path.display())]
pub struct TokensError {
    path: PathBuf,
    why: String,
}

/// Who has a token, as long as it is good.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) entry: Entry,
    /// Cancelled once the file no longer says so.
    pub(crate) revoked: CancellationToken,
}

/// The tokens of a file, read again when it changes.
pub(crate) struct Tokens {
    path: PathBuf,
    holders: RwLock<Arc<[Holder]>>,
}

impl Tokens {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`TokensError`], which names no token.
    pub(crate) fn read(path: &Path) -> Result<Self, TokensError> {
        let entries = read(path).map_err(|why| TokensError {
            path: path.to_owned(),
            why,
        })?;
        tracing::info!(path = %path.display(), tokens = entries.len(), "tokens read");
        Ok(Self {
            path: path.to_owned(),
            holders: RwLock::new(held(entries, &[])),
        })
    }

    /// Who holds `token`. Takes as long whichever it is, and whether or not there is one.
    pub(crate) fn find(&self, token: &str) -> Option<Holder> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        let holders = self.holders();
        let mut found = None;
        for holder in holders.iter() {
            if bool::from(holder.entry.sha256.0.ct_eq(&hash)) {
                found = Some(holder);
            }
        }
        found.cloned()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.holders().len()
    }

    /// Reads the file again whenever it changes, until told to stop. One that cannot be used changes nothing.
    pub(crate) async fn follow(self: Arc<Self>, stopping: CancellationToken) {
        let mut seen = stamp(&self.path);
        let pause = || tokio::time::sleep(LOOK_INTERVAL);
        while stopping.run_until_cancelled(pause()).await.is_some() {
            let now = stamp(&self.path);
            if now != seen {
                seen = now;
                self.read_again();
            }
        }
    }

    /// As if the file had been emptied.
    #[cfg(test)]
    pub(crate) fn revoke_all(&self) {
        let mut holders = self.holders.write().unwrap();
        *holders = held(Vec::new(), &holders);
    }

    fn read_again(&self) {
        match read(&self.path) {
            Ok(entries) => {
                tracing::info!(path = %self.path.display(), tokens = entries.len(), "tokens read again");
                let mut holders = write_lock(&self.holders);
                *holders = held(entries, &holders);
            }
            Err(why) => {
                tracing::error!(path = %self.path.display(), why, "tokens kept as they were: the file is no good");
            }
        }
    }

    fn holders(&self) -> Arc<[Holder]> {
        read_lock(&self.holders).clone()
    }
}

/// Who holds a token now. Those of `before` that still do go on, the others are told.
fn held(entries: Vec<Entry>, before: &[Holder]) -> Arc<[Holder]> {
    for gone in before
        .iter()
        .filter(|holder| !entries.contains(&holder.entry))
    {
        gone.revoked.cancel();
    }
    let holder = |entry| {
        let still = before.iter().find(|holder| holder.entry == entry).cloned();
        still.unwrap_or_else(|| Holder {
            entry,
            revoked: CancellationToken::new(),
        })
    };
    entries.into_iter().map(holder).collect()
}

/// Changes when the file does, also where it is a link that is turned to another.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let in_words = |error: io::Error| format!("it cannot be read: {error}");
    let bytes = fs::metadata(path).map_err(in_words)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!(
            "{bytes} bytes are over the limit of {FILE_BYTES_MAX}"
        ));
    }
    parse(&fs::read_to_string(path).map_err(in_words)?)
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    // The message alone: the rest of the error quotes the file.
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    for Entry {
        name, role, node, ..
    } in &file.token
    {
        if (*role == TokenRole::Node) != node.is_some() {
            let rule = "a token of role node names its node, no other does";
            return Err(format!("token {name:?} of role {}: {rule}", role.as_str()));
        }
    }
    Ok(file.token)
}

impl TryFrom<String> for Hash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut hash = [0; 32];
        let digits = text.as_bytes();
        let valid = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
        if !valid {
            return Err("sha256 is not 64 hexadecimal digits".to_owned());
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            let pair =
                str::from_utf8(pair).expect("hexadecimal digits are text: it was just checked");
            *byte = u8::from_str_radix(pair, 16).expect("two hexadecimal digits are a byte");
        }
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests;
