use super::*;
use crate::rtmp::chunk::{ChunkError, UNFINISHED_COMMAND_BYTES_MAX};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn connection_that_closes_after_any_byte_ends_quietly() {
    let bytes = [&[3][..], &[0; 2 * 1536]].concat();
    for cut in [0, 1, 1536, 1537, 1538, 3073] {
        let mut input = BytesMut::from(&bytes[..cut]);
        let mut session = ServerSession::new();
        assert_eq!(session.receive(&mut input), Ok(None));
        assert_eq!(session.receive(&mut input), Ok(None));
    }
}

#[test]
fn window_of_zero_neither_panics_nor_answers() {
    let mut peer = Peer::publishing();
    assert_eq!(peer.send(control(message::WINDOW_SIZE, 0)), Ok(None));
    assert!(matches!(
        peer.send(media(9, 0, vec![0; 3_000_000])),
        Ok(Some(_))
    ));
    assert_eq!(peer.heard(), []);
}

#[test]
fn commands_before_connect_are_refused() {
    let refused = Peer::new().command("publish", 1.0, &["SLUG".into()]);
    assert_eq!(
        refused,
        Err(SessionError::BeforeConnect("publish".to_owned()))
    );
}

#[test]
fn media_before_publish_is_refused() {
    let mut peer = Peer::new();
    peer.connect();
    assert_eq!(
        peer.send(media(9, 0, "v")),
        Err(SessionError::MediaBeforePublish(9))
    );
}

#[test]
fn second_connect_publish_or_play_is_refused() {
    let connect = command(&["connect".into(), 1.0.into()]);
    assert_eq!(
        Peer::publishing().send(connect),
        Err(SessionError::SecondConnect)
    );
    let name = ["SLUG".into()];
    assert_eq!(
        Peer::publishing().command("publish", 0.0, &name),
        Err(SessionError::Busy("publish"))
    );
    assert_eq!(
        Peer::publishing().command("play", 0.0, &name),
        Err(SessionError::Busy("play"))
    );
}

#[test]
fn stream_without_a_name_is_refused() {
    for name in [vec![], vec![Value::Null], vec!["?key=K".into()]] {
        let mut peer = Peer::new();
        peer.connect();
        assert_eq!(
            peer.command("publish", 0.0, &name),
            Err(SessionError::StreamName("publish"))
        );
    }
}

#[test]
fn endless_create_stream_is_refused() {
    let mut peer = Peer::new();
    peer.connect();
    let refused = (0..CREATE_STREAM_MAX).find_map(|_| peer.command("createStream", 1.0, &[]).err());
    assert_eq!(refused, Some(SessionError::Streams(CREATE_STREAM_MAX)));
}

#[test]
fn long_or_deep_command_is_refused() {
    let long = media(20, 0, vec![0; COMMAND_BYTES_MAX + 1]);
    assert!(matches!(
        Peer::new().send(long),
        Err(SessionError::CommandLength { .. })
    ));
    let deep = media(20, 0, b"\x0a\0\0\0\x01".repeat(1000));
    assert_eq!(
        Peer::new().send(deep),
        Err(SessionError::Amf0(amf0::Amf0Error::Depth))
    );
}

#[test]
fn peers_that_have_not_published_may_leave_little_unfinished() {
    let frame = media(9, 0, vec![0; UNFINISHED_COMMAND_BYTES_MAX + 1]);
    let refused = Err(SessionError::Chunk(ChunkError::Unfinished(
        UNFINISHED_COMMAND_BYTES_MAX,
    )));
    assert_eq!(Peer::new().send(frame.clone()), refused);
    assert!(Peer::publishing().send(frame).is_ok());
}

#[test]
fn short_control_messages_are_refused() {
    for kind in [message::WINDOW_SIZE, message::USER_CONTROL] {
        let short = Message {
            body: Bytes::from_static(b"\0"),
            ..control(kind, 0)
        };
        assert!(matches!(
            Peer::new().send(short),
            Err(SessionError::ControlLength { length: 1, .. })
        ));
    }
    let ping = Message {
        body: Bytes::from_static(&[0, 6, 1]),
        ..control(message::USER_CONTROL, 0)
    };
    assert_eq!(
        Peer::new().send(ping),
        Err(SessionError::ControlLength {
            kind: 4,
            length: 3,
            least: 6
        })
    );
}

#[test]
fn unread_answers_are_limited() {
    let mut peer = Peer::publishing();
    let flood = command(&["dance".into(), 1.0.into()]);
    let bytes = peer.encoder.encode(3, flood).concat().repeat(10_000);
    assert!(matches!(
        peer.send_bytes(&bytes),
        Err(SessionError::Output { .. })
    ));
    assert!(peer.session.take_output().len() < OUTPUT_BYTES_MAX + 1024);
}

/// The random messages of a client after the handshake, and whether it publishes.
fn babble() -> impl Strategy<Value = (bool, Vec<(u8, Vec<u8>)>)> {
    let body = prop_oneof![
        vec(any::<u8>(), 0..80),
        values().prop_map(|values| command(&values).body.to_vec())
    ];
    (any::<bool>(), vec((1..23u8, body), 0..12))
}

fn values() -> impl Strategy<Value = Vec<Value>> {
    let names = [
        "connect",
        "publish",
        "play",
        "deleteStream",
        "FCUnpublish",
        "createStream",
        "pause",
        "x",
    ];
    let name = proptest::sample::select(names.to_vec());
    (name, 0..3u8)
        .prop_map(|(name, id)| vec![name.into(), f64::from(id).into(), Value::Null, "S?k".into()])
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in vec(any::<u8>(), 0..4000)) {
        let mut input = BytesMut::from(&bytes[..]);
        let mut session = ServerSession::new();
        while let Ok(Some(_)) = session.receive(&mut input) {}
    }

    #[test]
    fn babble_never_panics((publishing, messages) in babble()) {
        let mut peer = if publishing { Peer::publishing() } else { Peer::new() };
        for (kind, body) in messages {
            match peer.send(media(kind, 0, body)) {
                Err(_) => break,
                Ok(Some(Event::Publish(_))) => peer.session.accept_publish(),
                Ok(Some(Event::Play(_))) => peer.session.accept_play(),
                Ok(_) => {}
            }
        }
    }
}
