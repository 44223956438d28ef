//! The server side of the handshake (RTMP 1.0, 5.2), including the digest handshake of Flash Player
//! 9.

use super::SessionError;
use bytes::{Buf, BufMut, BytesMut};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The only version: plain RTMP.
const VERSION: u8 = 3;
/// Length of C1, S1, C2 and S2.
const PACKET_BYTES: usize = 1536;
/// Length of a digest.
const DIGEST_BYTES: usize = 32;
/// Offsets of the block with the digest in the two schemas.
const DIGEST_BLOCKS: [usize; 2] = [772, 8];
/// Number of offsets within its block at which a digest may start.
const DIGEST_PLACES: usize = 728;
/// The version in S1. It makes clients look for a digest.
const SERVER_VERSION: [u8; 4] = [4, 5, 1, 1];
/// The part of [`SERVER_KEY`] that signs S1.
const SERVER_KEY_TEXT_BYTES: usize = 36;
/// The part of [`CLIENT_KEY`] that signs C1.
const CLIENT_KEY_TEXT_BYTES: usize = 30;
/// The end that both keys share.
const KEY_TAIL: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57,
    0x6E, 0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];
/// The text of the server's key.
const SERVER_KEY: &[u8; SERVER_KEY_TEXT_BYTES] = b"Genuine Adobe Flash Media Server 001";
/// The text of the client's key.
const CLIENT_KEY: &[u8; CLIENT_KEY_TEXT_BYTES] = b"Genuine Adobe Flash Player 001";

type Digest = [u8; DIGEST_BYTES];
type Packet = [u8; PACKET_BYTES];

/// The state of the handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    /// The server waits for C0 and C1.
    Hello,
    /// The server has sent S0, S1 and S2, and waits for C2.
    Echo,
    /// The handshake is complete. Chunks follow.
    Done,
}

impl Handshake {
    /// Takes what it can from `input` and writes the answer to `output`. Returns whether the
    /// handshake is complete.
    pub(super) fn advance(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Result<bool, SessionError> {
        if *self == Self::Hello && answer_hello(input, output)? {
            *self = Self::Echo;
        }
        // C2 is not checked: encoders that send noise there work with all other servers.
        if *self == Self::Echo && input.len() >= PACKET_BYTES {
            input.advance(PACKET_BYTES);
            *self = Self::Done;
        }
        Ok(*self == Self::Done)
    }
}

fn answer_hello(input: &mut BytesMut, output: &mut BytesMut) -> Result<bool, SessionError> {
    match input.first() {
        Some(&VERSION) => {}
        Some(&other) => return Err(SessionError::Version(other)),
        None => return Ok(false),
    }
    let Some(c1) = input
        .get(1..)
        .and_then(|rest| rest.first_chunk::<PACKET_BYTES>())
    else {
        return Ok(false);
    };
    output.put_u8(VERSION);
    match client_digest(c1) {
        Some((block, digest)) => put_signed(output, block, &digest),
        None => put_echo(output, c1),
    }
    input.advance(1 + PACKET_BYTES);
    Ok(true)
}

/// S1 and S2 for a client without a digest: noise, and a copy of C1.
fn put_echo(output: &mut BytesMut, c1: &Packet) {
    let mut s1: Packet = rand::random();
    s1[..8].fill(0);
    output.put_slice(&s1);
    output.put_slice(c1);
}

/// S1 and S2 for a client with a digest: S1 signed in the schema of the client, and S2 signed with
/// a key made from the digest of C1.
fn put_signed(output: &mut BytesMut, block: usize, client: &Digest) {
    let mut s1: Packet = rand::random();
    s1[..4].fill(0);
    s1[4..8].copy_from_slice(&SERVER_VERSION);
    let place = digest_place(&s1, block);
    let digest = packet_digest(&s1, place, SERVER_KEY);
    s1[place..place + DIGEST_BYTES].copy_from_slice(&digest);
    output.put_slice(&s1);

    let mut s2: Packet = rand::random();
    let (noise, signature) = s2.split_at_mut(PACKET_BYTES - DIGEST_BYTES);
    signature.copy_from_slice(&sign(&answer_key(client), &[noise]));
    output.put_slice(&s2);
}

/// Returns the digest in C1 and the offset of its block; `None` if C1 has no valid digest in either
/// schema.
fn client_digest(c1: &Packet) -> Option<(usize, Digest)> {
    if c1[4..8] == [0; 4] {
        return None;
    }
    DIGEST_BLOCKS.into_iter().find_map(|block| {
        let place = digest_place(c1, block);
        let digest = packet_digest(c1, place, CLIENT_KEY);
        (c1[place..place + DIGEST_BYTES] == digest).then_some((block, digest))
    })
}

fn digest_place(packet: &Packet, block: usize) -> usize {
    let sum: usize = packet[block..block + 4]
        .iter()
        .map(|&byte| usize::from(byte))
        .sum();
    block + 4 + sum % DIGEST_PLACES
}

fn packet_digest(packet: &Packet, place: usize, key: &[u8]) -> Digest {
    sign(key, &[&packet[..place], &packet[place + DIGEST_BYTES..]])
}

/// Returns the key that signs the answer to a packet with this digest.
fn answer_key(digest: &Digest) -> Digest {
    sign(&[SERVER_KEY.as_slice(), &KEY_TAIL].concat(), &[digest])
}

fn sign(key: &[u8], parts: &[&[u8]]) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
