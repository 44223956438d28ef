//! The tokens file: which token has which role. The file and this process keep only hashes.
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
//! To make a token and its hash: `token=$(openssl rand -hex 32); echo "$token"; printf %s "$token"
//! | sha256sum`. Tokens are long and random, so the hash needs neither salt nor stretching.

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

/// Time between two checks whether the file has changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest token that a caller may send, in bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// What the holder of a token may do.
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

/// One token, known only by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) role: TokenRole,
    /// The only node that it may act for.
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

/// The holder of a token that is valid now.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) entry: Entry,
    /// Cancelled when the token is removed from the file.
    pub(crate) revoked: CancellationToken,
}

/// The tokens of a file, which is read again when it changes.
pub(crate) struct Tokens {
    path: PathBuf,
    holders: RwLock<Arc<[Holder]>>,
}

impl Tokens {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`TokensError`], which contains no token.
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

    /// Returns the holder of `token`. Takes the same time for every token, known or not, so that
    /// timing reveals nothing.
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

    /// Reads the file again whenever it changes, until `stopping`. A file that cannot be used
    /// changes nothing.
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

    /// Acts as if the file had been emptied.
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
                tracing::error!(path = %self.path.display(), why, "tokens file cannot be used; the tokens that were read before stay valid");
            }
        }
    }

    fn holders(&self) -> Arc<[Holder]> {
        read_lock(&self.holders).clone()
    }
}

/// Returns the holders of `entries`. A holder in `before` that is still there stays; the others are
/// told that they are revoked.
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

/// Changes when the file changes, also if it is a link that now leads to another file.
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
    // Only the message: the rest of the error quotes the file.
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
