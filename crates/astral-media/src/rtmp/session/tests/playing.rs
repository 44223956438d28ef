use super::*;
use crate::rtmp::{MessageKind, write_message};

#[test]
fn player_gets_every_answer_that_it_waits_for() {
    let mut peer = Peer::new();
    peer.connect();
    let asked = peer.command("play", 4.0, &["SLUG".into(), Value::Number(-2000.0)]);
    let request = StreamRequest {
        app: "live".into(),
        name: "SLUG".into(),
        query: None,
    };
    assert_eq!(asked, Ok(Some(Event::Play(request))));
    peer.heard();
    peer.session.accept_play();
    let heard = peer.heard();
    assert_eq!(heard[0].body[..], [0, 0, 0, 0, 0, 1], "StreamBegin");
    let rest: Vec<_> = heard[1..]
        .iter()
        .map(|m| summary(&amf0::decode(&m.body).unwrap()))
        .collect();
    assert_eq!(
        rest,
        [
            named("onStatus", "NetStream.Play.Reset"),
            named("onStatus", "NetStream.Play.Start"),
            ("|RtmpSampleAccess".to_owned(), None),
            named("onStatus", "NetStream.Data.Start"),
        ]
    );
}

#[test]
fn shared_messages_fit_between_the_other_messages_of_a_player() {
    let mut peer = Peer::playing();
    let body = Bytes::from(vec![7; CHUNK_BYTES_OUT + 1]);
    peer.inbox.extend_from_slice(
        &write_message(MessageKind::Video, 40, std::slice::from_ref(&body)).concat(),
    );
    assert_eq!(peer.heard(), [media(9, 40, body)]);
    peer.command("pause", 5.0, &[Value::Boolean(true)]).unwrap();
    assert_eq!(
        peer.heard_commands(),
        [named("onStatus", "NetStream.Pause.Notify")]
    );
}

#[test]
fn player_is_told_why_it_is_refused() {
    let mut peer = Peer::new();
    peer.connect();
    peer.heard();
    peer.command("play", 0.0, &["SLUG".into()]).unwrap();
    peer.session
        .reject_play("NetStream.Play.StreamNotFound", "no such stream");
    assert_eq!(
        peer.heard_commands(),
        [named("onStatus", "NetStream.Play.StreamNotFound")]
    );
}

#[test]
fn player_is_told_that_the_stream_has_ended() {
    let mut peer = Peer::playing();
    peer.session.end_play();
    let heard = peer.heard();
    assert_eq!(heard[0].body[..], [0, 1, 0, 0, 0, 1], "StreamEOF");
    assert_eq!(heard.len(), 3);
}

#[test]
fn a_player_that_leaves_is_noticed() {
    for name in ["closeStream", "deleteStream"] {
        let mut peer = Peer::playing();
        assert_eq!(
            peer.command(name, 0.0, &[1.0.into()]),
            Ok(Some(Event::StopPlay))
        );
    }
}

#[test]
fn player_that_publishes_nothing_may_not_send_media() {
    assert_eq!(
        Peer::playing().send(media(8, 0, "a")),
        Err(SessionError::MediaBeforePublish(8))
    );
}

#[test]
fn stream_length_of_a_live_stream_is_zero() {
    let mut peer = Peer::playing();
    peer.command("getStreamLength", 8.0, &["SLUG".into()])
        .unwrap();
    let heard = peer.heard();
    let result = ["_result".into(), 8.0.into(), Value::Null, 0.0.into()];
    assert_eq!(amf0::decode(&heard[0].body).unwrap(), result);
}
