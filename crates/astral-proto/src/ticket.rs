//! Signed tickets: JWS compact tokens (RFC 7515) with Ed25519 (`alg` EdDSA, RFC 8037).
//!
//! A provider checks a ticket by itself: the signature, the expiry, and that it is the provider named.

use crate::limits::{CLOCK_TOLERANCE, TICKET_VALIDITY};
use crate::{Code, Kbps, NodeId, Problem, Slug, TicketId, UnixMillis, units};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use serde::{Deserialize, Serialize};

/// The longest token that is accepted, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// The contents of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The id of the ticket.
    pub id: TicketId,
    /// The stream that it is for.
    pub slug: Slug,
    /// The relay that sends.
    pub provider: NodeId,
    /// The relay that pulls.
    pub subscriber: NodeId,
    /// Whether it is a standby, which may exceed the provider's limit for a moment.
    pub standby: bool,
    /// What it reserves, kbit/s.
    pub kbps: Kbps,
    /// Until when it can open a link. A token contains whole seconds, rounded down.
    #[serde(with = "units::unix_seconds")]
    pub expires_at: UnixMillis,
}

/// Signs `claims` into a token.
pub fn sign(claims: &Claims, key: &SigningKey) -> String {
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA"}"#);
    let body = serde_json::to_vec(claims).expect("claims are plain data");
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(body));
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// Checks the signature of a token against `keys` and its expiry against `now`. The clocks of the broker that signed it and
/// of the provider may differ by [`CLOCK_TOLERANCE`].
///
/// # Errors
/// `unauthenticated` if it is malformed, signed by another key, expired, or valid for longer than [`TICKET_VALIDITY`].
pub fn verify(token: &str, keys: &[VerifyingKey], now: UnixMillis) -> Result<Claims, Problem> {
    let claims = decode(token, keys).ok_or_else(|| {
        Problem::new(
            Code::Unauthenticated,
            "the ticket is not signed by a known key",
        )
    })?;
    let expired_for = now.since(claims.expires_at);
    if expired_for > CLOCK_TOLERANCE {
        let detail = format!(
            "the ticket expired {} s ago: compare the clocks of this node and of the state",
            expired_for.as_secs()
        );
        return Err(Problem::new(Code::Unauthenticated, detail));
    }
    let left = claims.expires_at.since(now);
    if left > TICKET_VALIDITY + CLOCK_TOLERANCE {
        let detail = format!(
            "the ticket is valid for {} s, longer than any: compare the clocks of this node and of the state",
            left.as_secs()
        );
        return Err(Problem::new(Code::Unauthenticated, detail));
    }
    Ok(claims)
}

/// A public key, as messages contain it.
pub fn encode_key(key: &VerifyingKey) -> String {
    URL_SAFE_NO_PAD.encode(key.to_bytes())
}

/// Reads a public key; None if the text is not one.
pub fn decode_key(text: &str) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    VerifyingKey::from_bytes(&bytes).ok()
}

fn decode(token: &str, keys: &[VerifyingKey]) -> Option<Claims> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let signature: [u8; 64] = URL_SAFE_NO_PAD.decode(signature).ok()?.try_into().ok()?;
    let signature = Signature::from_bytes(&signature);
    keys.iter()
        .find(|key| key.verify(signed.as_bytes(), &signature).is_ok())?;
    let body = signed.split_once('.')?.1;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn second(seconds: u64) -> UnixMillis {
        UnixMillis::from_secs(seconds)
    }

    fn claims() -> Claims {
        Claims {
            id: TicketId::random(),
            slug: "demo".parse().unwrap(),
            provider: NodeId::random(),
            subscriber: NodeId::random(),
            standby: false,
            kbps: Kbps::new(2500),
            expires_at: UnixMillis::from_secs(1000),
        }
    }

    #[test]
    fn a_signed_ticket_is_read_back_by_either_key_of_a_rotation() {
        let claims = claims();
        let token = sign(&claims, &key(1));
        let keys = [key(2).verifying_key(), key(1).verifying_key()];
        assert_eq!(verify(&token, &keys, second(999)).unwrap(), claims);
    }

    #[test]
    fn forged_expired_and_garbled_tickets_are_refused() {
        let token = sign(&claims(), &key(1));
        let good = [key(1).verifying_key()];
        assert!(verify(&token, &[key(2).verifying_key()], second(999)).is_err());
        assert!(
            verify(&token, &good, second(1061))
                .unwrap_err()
                .detail
                .contains("expired 61 s ago")
        );
        for garbled in [
            "",
            ".",
            "a.b.c",
            &token[1..],
            &format!("{token}A"),
            &"x".repeat(9000),
        ] {
            assert_eq!(
                verify(garbled, &good, second(999)).unwrap_err().code,
                Code::Unauthenticated
            );
        }
    }

    #[test]
    fn clocks_may_differ_by_a_minute_either_way() {
        let keys = [key(1).verifying_key()];
        let signed_at = second(1_000_000);
        let token = sign(
            &Claims {
                expires_at: signed_at + TICKET_VALIDITY,
                ..claims()
            },
            &key(1),
        );
        let is_taken = |now: UnixMillis| verify(&token, &keys, now).is_ok();
        let within = Duration::from_secs(59);
        let beyond = Duration::from_secs(61);
        assert!(is_taken(signed_at - within));
        assert!(is_taken(signed_at + TICKET_VALIDITY + within));
        assert!(!is_taken(signed_at - beyond));
        assert!(!is_taken(signed_at + TICKET_VALIDITY + beyond));
    }

    #[test]
    fn public_keys_travel_as_text() {
        let public = key(7).verifying_key();
        assert_eq!(decode_key(&encode_key(&public)), Some(public));
        assert_eq!(decode_key("nonsense"), None);
    }
}
