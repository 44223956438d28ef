use super::*;
use crate::testing::{relay, relay_that_may_publish, relay_without_ticket};
use astral_media::rtmp::amf0::{self, Value};
use astral_media::rtmp::chunk::ChunkReader;
use astral_proto::Code;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

/// Sends `bytes` one by one, each `pause` after the last, and then stays.
async fn drip(mut peer: DuplexStream, bytes: &[u8], pause: Duration) -> std::convert::Infallible {
    for byte in bytes {
        drop(peer.write_all(&[*byte]).await);
        tokio::time::sleep(pause).await;
    }
    std::future::pending().await
}

/// How a connection ends whose peer drips `bytes`, and after how long.
async fn ended(bytes: &[u8], pause: Duration) -> (&'static str, Duration) {
    let relay = relay();
    let begun = Instant::now();
    let (peer, socket) = tokio::io::duplex(8 << 10);
    let outcome = tokio::select! {
        outcome = serve(&relay, socket) => outcome,
        never = drip(peer, bytes, pause) => match never {},
    };
    (
        outcome.expect_err("it is given up").reason(),
        begun.elapsed(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_drips_is_given_up_as_soon_as_one_that_stops() {
    let handshake = [&[3][..], &[0; 2 * 1536]].concat();
    for pause in [
        Duration::from_millis(100),
        Duration::from_secs(3),
        Duration::from_secs(60),
    ] {
        let (reason, after) = ended(&handshake, pause).await;
        assert_eq!(reason, "slow", "{pause:?}");
        assert!(
            after <= OPENING_WAIT + Duration::from_secs(1),
            "{pause:?} took {after:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_after_its_handshake_is_given_up() {
    let (reason, after) = ended(&[&[3][..], &[0; 2 * 1536]].concat(), Duration::ZERO).await;
    assert_eq!(reason, "slow");
    assert!(after <= OPENING_WAIT + Duration::from_secs(1), "{after:?}");
}

/// What is logged within this thread while it lives, in lines.
struct Logged {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Logged {
    fn start() -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let shared = text.clone();
        let writer = move || Sink(shared.clone());
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(writer)
            .finish();
        Self {
            text,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    fn lines_with(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        text.lines()
            .filter(|line| line.contains(words))
            .map(str::to_owned)
            .collect()
    }
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A message in one chunk; `head` is its chunk stream and type.
fn message([chunk_stream, kind]: [u8; 2], length: usize, body: &[u8]) -> Vec<u8> {
    let length = (length as u32).to_be_bytes();
    [
        &[chunk_stream, 0, 0, 0][..],
        &length[1..],
        &[kind, 1, 0, 0, 0],
        body,
    ]
    .concat()
}

/// An encoder up to its publish of `name`, with chunks of any length, and then `media`.
fn publishes(name: &str, media: &[u8]) -> Vec<u8> {
    [
        opening(&[
            "publish".into(),
            2.0.into(),
            Value::Null,
            name.into(),
            "live".into(),
        ]),
        media.to_vec(),
    ]
    .concat()
}

/// A client that connects, with chunks of any length, and then sends the command `last`.
fn opening(last: &[Value]) -> Vec<u8> {
    let command = |values: &[Value]| {
        let mut body = BytesMut::new();
        amf0::encode(values, &mut body);
        message([3, 20], body.len(), &body)
    };
    let app = Value::Object(vec![("app".into(), "live".into())]);
    let connect = command(&["connect".into(), 1.0.into(), app]);
    let handshake = [&[3][..], &[0; 2 * 1536]].concat();
    let chunk_size = message([2, 1], 4, &(1u32 << 20).to_be_bytes());
    [&handshake[..], &chunk_size, &connect, &command(last)].concat()
}

/// What an encoder that sends `bytes` to `relay` hears last before the close: code and description.
async fn last_status(relay: &Relay, bytes: &[u8]) -> (String, String) {
    let (mut peer, socket) = tokio::io::duplex(64 << 10);
    let encoder = async {
        peer.write_all(bytes)
            .await
            .expect("what a refused encoder sends is taken");
        let mut heard = BytesMut::new();
        while peer.read_buf(&mut heard).await.expect("no reset") > 0 {}
        drop(peer);
        heard
    };
    let (outcome, heard) = tokio::join!(serve(relay, socket), encoder);
    outcome.expect_err("it is refused");
    let mut chunks = ChunkReader::new();
    let mut heard = BytesMut::from(&heard[1 + 2 * 1536..]);
    let messages = std::iter::from_fn(|| chunks.read(&mut heard).unwrap())
        .filter(|message| message.kind == 20);
    let values = amf0::decode(&messages.last().expect("it was told something").body).unwrap();
    assert_eq!(values[0].as_str(), Some("onStatus"));
    let text = |name| {
        values[3]
            .get(name)
            .and_then(Value::as_str)
            .unwrap()
            .to_owned()
    };
    assert_eq!(text("level"), "error");
    (text("code"), text("description"))
}

/// Goal: a refusal reaches the encoder, the log with the stream, and the control plane, whose pages
/// show it.
#[tokio::test(start_paused = true)]
async fn every_refusal_is_told_to_the_encoder_the_log_and_the_control_plane() {
    let start_code = b"\x17\x01\0\0\0\0\0\0\x01\x67\x42\xc0\x1f\0\0\0\x01\x65\x88\x84";
    let adts = b"\xaf\x01\xff\xf1\x50\x80\x02\x1f\xfc\x21";
    let hevc = b"\x90hvc1\x01\x02";
    let media = |body: &[u8], kind| message([6, kind], body.len(), body);
    let huge = vec![0x17; (9 << 20) + 1];
    let cases = [
        (
            "demo",
            message([6, 9], huge.len(), &huge),
            "message_length",
            "lower the bitrate",
        ),
        (
            "demo",
            vec![0x80 | 9, 0, 0, 40, 0x17, 1, 0, 0, 0],
            "no_header",
            "chunk of type 2",
        ),
        ("demo", media(start_code, 9), "annex_b", "Annex B"),
        ("demo", media(adts, 8), "adts", "ADTS"),
        ("demo", media(hevc, 9), "flv", "HEVC"),
        (
            "demo",
            media(b"\x17\0\0\0\0\xff\xff", 9),
            "codec",
            "AVCDecoderConfigurationRecord",
        ),
    ];
    for (name, media, reason, words) in cases {
        let relay = relay_that_may_publish();
        let logged = Logged::start();
        let (code, description) = last_status(&relay, &publishes(name, &media)).await;
        assert_eq!(code, "NetStream.Publish.Failed", "{description}");
        assert!(description.contains(words), "{description}");
        let lines = logged.lines_with("publisher refused");
        let [line] = &lines[..] else {
            panic!("one line of {reason}: {lines:?}")
        };
        assert!(
            line.contains("stream.slug=\"demo\"") && line.contains(words),
            "{line}"
        );
        let notices = relay.notices().stated();
        let [notice] = &notices[..] else {
            panic!("one notice of {reason}: {notices:?}")
        };
        assert_eq!(
            (notice.slug.as_str(), &*notice.reason, notice.epoch),
            ("demo", reason, 1)
        );
        assert_eq!(notice.detail, description);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_at_the_door_is_told_as_well_and_a_secret_in_the_address_is_not() {
    let cases = [
        (
            "?key=secret",
            "NetStream.Publish.BadName",
            "the stream key is empty",
        ),
        (
            "two words?key=secret",
            "NetStream.Publish.BadName",
            "must be 1 to 64 letters",
        ),
        (
            "demo?key=secret",
            "NetStream.Publish.Failed",
            "the control plane is unreachable",
        ),
    ];
    for (name, expected, words) in cases {
        let relay = relay();
        let logged = Logged::start();
        let (code, description) = last_status(&relay, &publishes(name, &[])).await;
        assert_eq!(code, expected, "{description}");
        assert!(description.contains(words), "{description}");
        assert_eq!(logged.lines_with("publisher refused").len(), 1);
        assert_eq!(logged.lines_with("secret"), Vec::<String>::new());
        assert!(
            relay
                .notices()
                .stated()
                .iter()
                .all(|notice| !notice.detail.contains("secret"))
        );
    }
}

/// Goal: a player is told each reason in words, and in a code that fits it. A stream that is there
/// and does not fit is tested with real players.
#[tokio::test(start_paused = true)]
async fn a_player_that_is_turned_away_hears_why() {
    // What is wrong with the control plane names hosts inside, so a player is told only that it is
    // unreachable.
    let away = "the control plane is unreachable; streams that are here continue; try again later";
    for (code, status, detail) in [
        (
            Code::NotFound,
            "NetStream.Play.StreamNotFound",
            "no ticket: not_found",
        ),
        (
            Code::NotBegun,
            "NetStream.Play.StreamNotFound",
            "no ticket: not_begun",
        ),
        (
            Code::Full,
            "NetStream.Play.InsufficientBW",
            "no ticket: full",
        ),
        (Code::ControlPlaneAway, "NetStream.Play.Failed", away),
    ] {
        let relay = relay_without_ticket(code);
        let begun = Instant::now();
        let told = last_status(
            &relay,
            &opening(&["play".into(), 2.0.into(), Value::Null, "demo".into()]),
        )
        .await;
        assert_eq!(told, (status.to_owned(), detail.to_owned()));
        let is_known_at_once = matches!(code, Code::NotFound | Code::NotBegun);
        assert_eq!(
            begun.elapsed() < Duration::from_secs(1),
            is_known_at_once,
            "{code:?} after {:?}",
            begun.elapsed()
        );
    }
}
