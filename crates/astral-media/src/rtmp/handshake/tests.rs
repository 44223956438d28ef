use super::*;

/// C1 of a digest client, but without the digest. It is a pattern, so that another program can make
/// the same bytes.
fn pattern() -> Packet {
    let mut c1: Packet = std::array::from_fn(|i| ((i * 7 + 3) % 251) as u8);
    c1[4..8].copy_from_slice(&[9, 0, 124, 2]);
    c1
}

fn unhex(text: &str) -> Digest {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

fn answer(input: &[u8]) -> (Handshake, BytesMut) {
    let mut handshake = Handshake::Hello;
    let mut output = BytesMut::new();
    handshake
        .advance(&mut BytesMut::from(input), &mut output)
        .unwrap();
    (handshake, output)
}

fn hello(c1: &Packet) -> Vec<u8> {
    [&[VERSION], c1.as_slice()].concat()
}

/// Goal: both schemas interwork with clients that are not ours.
/// Method: digests and answer keys of the same packet, computed with Python's hmac module.
#[test]
fn digest_handshake_agrees_with_one_computed_elsewhere() {
    let known = [
        (
            772,
            1362,
            "9ec7e33cd92927e863aba093d2b3c395f99fa74159a6d2fc526da99d3b2124a3",
            "c1da16fffc60d03e271a67dca04118367c500c3b8e79d96046554c013332473d",
        ),
        (
            8,
            290,
            "e8496faa3f83100a4d5ef49679379aae6a36f89f963c9170d7481dacf02b2117",
            "1f88026796112aa9929f2d004f1d4f00bc6f427005797c8b28be8a93a61d8ab8",
        ),
    ];
    for (block, place, digest, key) in known {
        let mut c1 = pattern();
        c1[place..place + DIGEST_BYTES].copy_from_slice(&unhex(digest));
        assert_eq!(client_digest(&c1), Some((block, unhex(digest))));

        let (handshake, output) = answer(&hello(&c1));
        assert!(handshake == Handshake::Echo);
        let s1: &Packet = output[1..].first_chunk().unwrap();
        let place = digest_place(s1, block);
        assert_eq!(
            s1[place..place + DIGEST_BYTES],
            packet_digest(s1, place, SERVER_KEY)
        );
        let (noise, signature) = output[1 + PACKET_BYTES..].split_at(PACKET_BYTES - DIGEST_BYTES);
        assert_eq!(signature, sign(&unhex(key), &[noise]));
    }
}

#[test]
fn client_without_a_digest_gets_its_packet_back() {
    for c1 in [[0; PACKET_BYTES], pattern()] {
        let (_, output) = answer(&hello(&c1));
        assert_eq!(output.len(), 1 + 2 * PACKET_BYTES);
        assert_eq!(output[..9], [VERSION, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(output[1 + PACKET_BYTES..], c1);
    }
}

#[test]
fn handshake_that_trickles_in_ends_where_the_chunks_begin() {
    let mut handshake = Handshake::Hello;
    let mut output = BytesMut::new();
    let mut input = BytesMut::new();
    let mut done = 0;
    for byte in [hello(&pattern()), vec![1; PACKET_BYTES], vec![7; 3]].concat() {
        input.put_u8(byte);
        done += usize::from(handshake.advance(&mut input, &mut output).unwrap());
    }
    assert_eq!((done, &input[..]), (4, &[7, 7, 7][..]));
    assert_eq!(output.len(), 1 + 2 * PACKET_BYTES);
}

#[test]
fn other_protocols_are_refused_at_their_first_byte() {
    let mut output = BytesMut::new();
    let refused = Handshake::Hello.advance(&mut BytesMut::from("G"), &mut output);
    assert_eq!(refused, Err(SessionError::Version(b'G')));
    assert!(output.is_empty());
}
