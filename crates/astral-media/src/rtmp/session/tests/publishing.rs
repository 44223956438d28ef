use super::*;

/// A part of an aggregate: an FLV tag and the pointer back to it.
fn part(kind: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let time = timestamp.to_be_bytes();
    [
        &[kind],
        &length[1..],
        &time[1..],
        &time[..1],
        &[0; 3],
        body,
        &[0; 4],
    ]
    .concat()
}

#[test]
fn encoder_publishes_and_stops() {
    let mut peer = Peer::new();
    peer.connect();
    let codes: Vec<_> = peer.heard().iter().map(|message| message.kind).collect();
    assert_eq!(
        codes,
        [message::WINDOW_SIZE, message::PEER_BANDWIDTH, 20, 20]
    );
    for name in ["releaseStream", "FCPublish"] {
        assert_eq!(peer.command(name, 3.0, &["SLUG".into()]), Ok(None));
        assert_eq!(peer.heard_commands(), [("_result".to_owned(), None)]);
    }
    let request = StreamRequest {
        app: "live".into(),
        name: "SLUG".into(),
        query: Some("key=K".into()),
    };
    let asked = peer.command("publish", 4.0, &["SLUG?key=K".into(), "live".into()]);
    assert_eq!(asked, Ok(Some(Event::Publish(request))));
    peer.session.accept_publish();
    assert_eq!(
        peer.heard_commands(),
        [named("onStatus", "NetStream.Publish.Start")]
    );

    let metadata = Value::EcmaArray(vec![("videocodecid".into(), 7.0.into())]);
    let data = values_message(18, &["@setDataFrame".into(), "onMetaData".into(), metadata]);
    assert!(
        matches!(peer.send(data), Ok(Some(Event::Metadata(metadata))) if metadata.expects_video)
    );
    let video = peer.send(media(9, 40, "v"));
    assert_eq!(
        video,
        Ok(Some(Event::Video {
            timestamp: 40,
            body: "v".into()
        }))
    );
    let audio = peer.send(media(8, 41, "a"));
    assert_eq!(
        audio,
        Ok(Some(Event::Audio {
            timestamp: 41,
            body: "a".into()
        }))
    );

    assert_eq!(
        peer.command("FCUnpublish", 5.0, &["SLUG".into()]),
        Ok(Some(Event::Unpublish))
    );
    assert_eq!(peer.command("deleteStream", 6.0, &[1.0.into()]), Ok(None));
    assert_eq!(
        peer.send(media(9, 42, "v")),
        Err(SessionError::MediaBeforePublish(9))
    );
}

#[test]
fn publisher_is_told_why_it_is_refused_and_may_try_again() {
    let mut peer = Peer::new();
    peer.connect();
    peer.heard();
    peer.publish();
    peer.session
        .reject_publish("NetStream.Publish.BadName", "already live");
    let heard = peer.heard();
    assert_eq!((heard.len(), heard[0].stream_id), (1, STREAM_ID));
    let values = amf0::decode(&heard[0].body).unwrap();
    let texts =
        ["level", "code", "description"].map(|name| values[3].get(name).unwrap().as_str().unwrap());
    assert_eq!(
        texts,
        ["error", "NetStream.Publish.BadName", "already live"]
    );
    peer.publish();
}

/// Level, code and description of the last status or failure in `heard`.
fn told(heard: &[Message]) -> [String; 3] {
    let values = amf0::decode(&heard.last().expect("something was said").body).unwrap();
    let status = values.last().unwrap();
    ["level", "code", "description"]
        .map(|name| status.get(name).unwrap().as_str().unwrap().to_owned())
}

#[test]
fn peer_is_told_why_its_connection_is_closed_in_every_state() {
    let mut connected = Peer::new();
    connected.connect();
    let mut asked = Peer::new();
    asked.connect();
    asked.publish();
    for mut peer in [connected, asked, Peer::publishing()] {
        peer.heard();
        peer.session.refuse("NetStream.Publish.Failed", "too large");
        assert_eq!(
            told(&peer.heard()),
            ["error", "NetStream.Publish.Failed", "too large"]
        );
    }
    let mut stranger = Peer::new();
    stranger.session.refuse("NetStream.Failed", "not connected");
    assert_eq!(
        told(&stranger.heard()),
        ["error", "NetConnection.Connect.Rejected", "not connected"]
    );
}

#[test]
fn peer_without_a_handshake_is_told_nothing() {
    let mut session = ServerSession::new();
    session.refuse("NetStream.Failed", "who are you");
    assert!(session.take_output().is_empty());
}

#[test]
fn chunk_without_a_length_is_refused_with_an_explanation() {
    let mut peer = Peer::publishing();
    let camera = [0x80 | 9, 0, 0, 40, 0x17, 1, 0, 0, 0];
    let error = peer.send_bytes(&camera).unwrap_err();
    peer.session
        .refuse("NetStream.Publish.Failed", &error.to_string());
    let [_, _, description] = told(&peer.heard());
    assert!(
        description.contains("chunk of type 2 on chunk stream 9"),
        "{description}"
    );
}

#[test]
fn media_sent_before_the_answer_waits() {
    let mut peer = Peer::new();
    peer.connect();
    peer.publish();
    assert_eq!(peer.send(media(9, 7, "v")), Ok(None));
    peer.session.accept_publish();
    assert_eq!(
        peer.send_bytes(b""),
        Ok(Some(Event::Video {
            timestamp: 7,
            body: "v".into()
        }))
    );
}

#[test]
fn closing_or_deleting_the_stream_ends_the_publish() {
    for name in ["closeStream", "deleteStream", "FCUnpublish"] {
        let mut peer = Peer::publishing();
        assert_eq!(
            peer.command(name, 0.0, &[]),
            Ok(Some(Event::Unpublish)),
            "{name}"
        );
        peer.publish();
    }
}

#[test]
fn aggregate_is_split_and_timed_from_its_own_timestamp() {
    let mut peer = Peer::publishing();
    let parts = [part(9, 500, b"v"), part(8, 510, b"a"), part(9, 540, b"w")].concat();
    let whole = media(22, 1000, parts.clone());
    assert_eq!(
        peer.send(whole),
        Ok(Some(Event::Video {
            timestamp: 1000,
            body: "v".into()
        }))
    );
    let rest: Vec<_> = std::iter::from_fn(|| peer.send_bytes(b"").unwrap()).collect();
    let audio = Event::Audio {
        timestamp: 1010,
        body: "a".into(),
    };
    assert_eq!(
        rest,
        [
            audio,
            Event::Video {
                timestamp: 1040,
                body: "w".into()
            }
        ]
    );

    let cut = media(22, 0, parts[..parts.len() - 5].to_vec());
    assert!(peer.send(cut).is_ok());
    assert!(peer.send_bytes(b"").is_ok());
    assert_eq!(
        peer.send_bytes(b""),
        Err(SessionError::Aggregate { missing: 1 })
    );
}

#[test]
fn command_in_an_amf3_message_is_taken_if_it_is_amf0() {
    let mut peer = Peer::new();
    let amf0 = command(&["connect".into(), 1.0.into(), Value::Null]).body;
    assert_eq!(
        peer.send(media(17, 0, [&[0], &amf0[..]].concat())),
        Ok(None)
    );
    assert_eq!(
        peer.heard_commands(),
        [named("_result", "NetConnection.Connect.Success")]
    );
    assert_eq!(peer.send(media(17, 0, amf0)), Err(SessionError::Amf3));
}

#[test]
fn unknown_command_is_answered_if_it_asks_for_an_answer() {
    let mut peer = Peer::publishing();
    assert_eq!(peer.command("dance", 0.0, &[]), Ok(None));
    assert_eq!(peer.heard_commands(), []);
    assert_eq!(peer.command("dance", 9.0, &[]), Ok(None));
    assert_eq!(
        peer.heard_commands(),
        [named("_error", "NetConnection.Call.Failed")]
    );
}

#[test]
fn metadata_that_cannot_be_read_does_not_end_the_stream() {
    let mut peer = Peer::publishing();
    assert_eq!(peer.send(media(18, 0, "\x02")), Ok(None));
    assert!(matches!(peer.send(media(9, 0, "v")), Ok(Some(_))));
}

#[test]
fn publisher_gets_acknowledgements() {
    let mut peer = Peer::publishing();
    peer.send(control(message::WINDOW_SIZE, 10_000)).unwrap();
    peer.send(media(9, 0, vec![0; 12_000])).unwrap();
    let heard = peer.heard();
    assert_eq!((heard.len(), heard[0].kind), (1, message::ACKNOWLEDGEMENT));
    let total = u32::from_be_bytes(heard[0].body[..].try_into().unwrap());
    assert!((15_000..16_000).contains(&total), "{total}");
}

#[test]
fn ping_is_answered_with_its_own_time() {
    let mut peer = Peer::publishing();
    let ping = Message {
        body: Bytes::from_static(&[0, 6, 1, 2, 3, 4]),
        ..control(message::USER_CONTROL, 0)
    };
    assert_eq!(peer.send(ping), Ok(None));
    assert_eq!(peer.heard()[0].body[..], [0, 7, 1, 2, 3, 4]);
}
