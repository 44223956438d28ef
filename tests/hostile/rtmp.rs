//! What an encoder may do wrong, and what only an attacker does.

use crate::house::house;
use crate::wire::{send, until_closed};
use astral_media::rtmp::amf0::Value;
use harness::Rtmp;
use harness::eventually;
use tokio::io::AsyncWriteExt;

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
/// The longest length a message header can state: 16 MiB less a byte.
const LENGTH_MAX: usize = 0xFF_FFFF;

#[tokio::test]
async fn noise_is_no_handshake() {
    let door = house().cluster.rtmp(1);
    let noise = async {
        for noise in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0; 4000],
            &[0xFF; 64 << 10],
            b"\x06",
        ] {
            send(door, noise).await;
        }
    };
    house().endures("rtmp", "version", noise).await;
}

#[tokio::test]
async fn noise_after_the_handshake_ends_the_connection() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut client = Rtmp::connect(door).await;
        drop(client.socket.write_all(&[0xC7; 4096]).await);
        until_closed(&mut client.socket).await;
    };
    house().endures("rtmp", "no_header", attack).await;
}

#[tokio::test]
async fn a_message_of_16_mib_is_refused_at_its_header() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut client = Rtmp::publish(door, "oversized").await;
        client.message(6, VIDEO, LENGTH_MAX, &[0; 128]).await;
        until_closed(&mut client.socket).await;
    };
    house().endures("rtmp", "message_length", attack).await;
}

/// Has `client` be refused: it hears so and why, before the close.
async fn hears_why(mut client: Rtmp, code: &str, words: &str) {
    let (told, description) = client.status().await.expect("a status before the close");
    assert_eq!(told, code, "{description}");
    assert!(description.contains(words), "{description}");
    assert_eq!(client.status().await, None, "and then the close");
}

/// Waits until the gateway shows of `slug` that a publisher was turned away because of `reason`; in which words.
async fn page_tells_refusal(slug: &str, reason: &str) -> String {
    eventually("the gateway shows the refusal", async || {
        let refusal = house().stream(slug).await["last_refusal"].take();
        (refusal["reason"] == reason)
            .then(|| refusal["detail"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

/// A client that has connected to `app`, and asks to publish `name`.
async fn asks(app: &str, name: &str) -> Rtmp {
    let mut client = Rtmp::connect(house().cluster.rtmp(1)).await;
    let app = Value::Object(vec![("app".into(), app.into())]);
    client.command(&["connect".into(), 1.0.into(), app]).await;
    client
        .command(&[
            "publish".into(),
            2.0.into(),
            Value::Null,
            name.into(),
            "live".into(),
        ])
        .await;
    client
}

#[tokio::test]
async fn an_encoder_without_a_stream_key_is_told_so() {
    let attack = async {
        for (app, name) in [
            ("live", ""),
            ("live", "?key=secret"),
            ("", ""),
            ("live/_definst_", ""),
        ] {
            hears_why(
                asks(app, name).await,
                "NetStream.Publish.BadName",
                "stream key is empty",
            )
            .await;
        }
    };
    house().endures("rtmp", "stream_name", attack).await;
}

#[tokio::test]
async fn an_encoder_whose_stream_name_cannot_be_is_told_what_names_are_made_of() {
    let attack = async {
        for name in ["two words", "dotted.name", "caf\u{e9}", &"x".repeat(65)] {
            hears_why(
                asks("live", name).await,
                "NetStream.Publish.BadName",
                "letters, digits",
            )
            .await;
        }
    };
    house().endures("rtmp", "bad_request", attack).await;
}

#[tokio::test]
async fn an_encoder_is_told_that_its_frame_is_too_large_though_it_still_sends_it() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut client = Rtmp::publish(door, "huge").await;
        let frame = [&[0x17, 1, 0, 0, 0][..], &vec![0x65; 9 << 20]].concat();
        client.message(6, VIDEO, frame.len(), &frame).await;
        hears_why(client, "NetStream.Publish.Failed", "lower the bitrate").await;
    };
    house().endures("rtmp", "message_length", attack).await;
    assert!(
        page_tells_refusal("huge", "message_length")
            .await
            .contains("lower the bitrate")
    );
}

#[tokio::test]
async fn a_camera_that_leaves_out_the_length_of_a_message_is_told_so() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut client = Rtmp::publish(door, "camera").await;
        let chunk = [&[0x80 | 9, 0, 0, 40][..], &[0x17; 120]].concat();
        drop(client.socket.write_all(&chunk).await);
        hears_why(
            client,
            "NetStream.Publish.Failed",
            "chunk of type 2 on chunk stream 9",
        )
        .await;
    };
    house().endures("rtmp", "no_header", attack).await;
    assert!(
        page_tells_refusal("camera", "no_header")
            .await
            .contains("chunk of type 2")
    );
}

/// Goal: what cannot be used is left out and the rest is played, and whoever runs the encoder hears of it.
#[tokio::test]
async fn an_encoder_is_warned_once_of_each_thing_that_is_left_out() {
    let mut encoder = Rtmp::publish(house().cluster.rtmp(1), "oddities").await;
    for _ in 0..2 {
        encoder.message(4, AUDIO, 1, &[0xAF]).await;
        encoder.message(4, AUDIO, 3, &[0x2F, 1, 2]).await;
        encoder.message(4, AUDIO, 8, b"\x95\x01mp4a\x01x").await;
    }
    let mut told = Vec::new();
    for _ in 0..3 {
        let (code, description) = encoder.status().await.expect("a warning");
        assert_eq!(code, "NetStream.Publish.Warning");
        told.push(description);
    }
    let expected = ["ends early", "MP3 is not supported", "a second audio track"];
    for words in expected {
        assert!(
            told.iter().any(|told| told.contains(words)),
            "{words}: {told:?}"
        );
    }
    let shown = eventually("the gateway shows the warnings", async || {
        let stream = house().stream("oddities").await;
        let warnings = stream["warnings"]
            .as_array()
            .filter(|warnings| warnings.len() == told.len())?
            .clone();
        Some(warnings)
    })
    .await;
    let reasons: Vec<_> = shown
        .iter()
        .map(|warning| warning["reason"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(reasons, ["left_out", "sound_left_out", "second_track"]);
}

#[tokio::test]
async fn payloads_in_the_form_of_another_container_are_refused_by_name() {
    let door = house().cluster.rtmp(1);
    let start_code = [
        &[0x17, 1, 0, 0, 0][..],
        b"\0\0\0\x01\x67\x42\xc0\x1f\0\0\0\x01\x65\x88\x84",
    ]
    .concat();
    let adts = b"\xaf\x01\xff\xf1\x50\x80\x02\x1f\xfc\x21".to_vec();
    for (slug, kind, body, reason, words) in [
        ("start-codes", VIDEO, start_code, "annex_b", "Annex B"),
        ("adts", AUDIO, adts, "adts", "ADTS headers"),
    ] {
        let attack = async {
            let mut encoder = Rtmp::publish(door, slug).await;
            encoder.message(6, kind, body.len(), &body).await;
            hears_why(encoder, "NetStream.Publish.Failed", words).await;
        };
        house().endures("rtmp", reason, attack).await;
        assert!(page_tells_refusal(slug, reason).await.contains(words));
    }
}

#[tokio::test]
async fn an_encoder_that_speaks_before_it_connects_is_told_so() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut client = Rtmp::connect(door).await;
        client
            .command(&["publish".into(), 2.0.into(), Value::Null, "demo".into()])
            .await;
        let heard = String::from_utf8_lossy(&until_closed(&mut client.socket).await).into_owned();
        assert!(heard.contains("comes before connect"), "{heard:?}");
    };
    house().endures("rtmp", "before_connect", attack).await;
}

#[tokio::test]
async fn chunk_streams_without_end_are_refused() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut client = Rtmp::publish(door, "streams").await;
        for chunk_stream in 7..63 {
            client
                .message(chunk_stream, AUDIO, 4096, &[0xAF; 128])
                .await;
        }
        until_closed(&mut client.socket).await;
    };
    house().endures("rtmp", "chunk_streams", attack).await;
}

#[tokio::test]
async fn media_that_nobody_may_send_yet_ends_the_connection() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut client = Rtmp::connect(door).await;
        client.message(6, VIDEO, 5, &[0x17, 1, 0, 0, 0]).await;
        until_closed(&mut client.socket).await;
    };
    house()
        .endures("rtmp", "media_before_publish", attack)
        .await;
}

#[tokio::test]
async fn a_command_that_is_no_amf_ends_the_connection() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut client = Rtmp::connect(door).await;
        client.message(3, 20, 40, &[0x0A; 40]).await;
        until_closed(&mut client.socket).await;
    };
    house().endures("rtmp", "amf0", attack).await;
}

#[tokio::test]
async fn hevc_is_refused_by_name_and_the_encoder_is_told() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut encoder = Rtmp::publish(door, "hevc").await;
        let sequence_start = [&[0x90][..], b"hvc1", &[1; 40]].concat();
        encoder
            .message(6, VIDEO, sequence_start.len(), &sequence_start)
            .await;
        let (code, description) = encoder.status().await.expect("a status before the close");
        assert_eq!(code, "NetStream.Publish.Failed");
        assert!(
            description.contains("HEVC") && description.contains("H.264"),
            "{description}"
        );
        assert_eq!(encoder.status().await, None, "and then the close");
    };
    house().endures("rtmp", "flv", attack).await;
}

#[tokio::test]
async fn a_codec_configuration_that_cannot_be_read_is_refused() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut encoder = Rtmp::publish(door, "config").await;
        encoder
            .message(
                6,
                VIDEO,
                20,
                &[&[0x17, 0, 0, 0, 0][..], &[0xFF; 15]].concat(),
            )
            .await;
        assert_eq!(
            encoder.status().await.expect("a status").0,
            "NetStream.Publish.Failed"
        );
        until_closed(&mut encoder.socket).await;
    };
    house().endures("rtmp", "codec", attack).await;
}

#[tokio::test]
async fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut second = Rtmp::connect(door).await;
        let app = Value::Object(vec![("app".into(), "live".into())]);
        second.command(&["connect".into(), 1.0.into(), app]).await;
        second
            .command(&[
                "publish".into(),
                2.0.into(),
                Value::Null,
                crate::house::SLUG.into(),
            ])
            .await;
        assert_eq!(
            second.status().await.expect("a status").0,
            "NetStream.Publish.BadName"
        );
        until_closed(&mut second.socket).await;
    };
    house().endures("rtmp", "conflict", attack).await;
    let told = page_tells_refusal(crate::house::SLUG, "conflict").await;
    assert!(told.contains("has a publisher already"), "{told}");
}

#[tokio::test]
async fn peers_that_go_away_in_the_middle_of_anything_are_no_failures() {
    let house = house();
    let door = house.cluster.rtmp(1);
    for part in [0, 1, 700, 1537, 2000] {
        let mut socket = tokio::net::TcpStream::connect(door)
            .await
            .expect("the door is open");
        socket
            .write_all(&[&[3][..], &[0; 3000]].concat()[..part])
            .await
            .expect("it is taken");
    }
    let mut cut = Rtmp::publish(door, "cut").await;
    cut.message(6, VIDEO, 100_000, &[0x17; 3000]).await;
    drop(cut);
    eventually("the publish is over", async || {
        (house.stream("cut").await["state"] == "grace").then_some(())
    })
    .await;
    assert_eq!(house.failures("rtmp", "io").await, 0);
    house.is_unharmed().await;
}

#[tokio::test]
async fn a_publish_right_behind_an_unpublish_is_answered() {
    let mut client = Rtmp::publish(house().cluster.rtmp(1), "hasty").await;
    let leave = ["deleteStream".into(), 3.0.into(), Value::Null, 1.0.into()];
    let publish = ["publish".into(), 4.0.into(), Value::Null, "hasty".into()];
    client.commands(&[&leave, &publish]).await;
    assert_eq!(
        client.status().await.expect("an answer").0,
        "NetStream.Publish.Start"
    );
}

#[tokio::test]
async fn a_stream_published_over_and_over_stays_one_stream() {
    let house = house();
    let door = house.cluster.rtmp(1);
    let mut client = Rtmp::publish(door, "again").await;
    for _ in 0..10 {
        client
            .command(&["deleteStream".into(), 3.0.into(), Value::Null, 1.0.into()])
            .await;
        client.start_publishing("again").await;
    }
    drop(client);
    for _ in 0..9 {
        eventually("the slug is free", async || {
            (house.stream("again").await["state"] == "grace").then_some(())
        })
        .await;
        drop(Rtmp::publish(door, "again").await);
    }
    assert_eq!(house.stream("again").await["epoch"], 20);
    let streams = house.json("/v1/streams").await;
    let streams = streams["items"].as_array().expect("a list");
    assert_eq!(
        streams
            .iter()
            .filter(|stream| stream["slug"] == "again")
            .count(),
        1
    );
    house.is_unharmed().await;
    eventually(
        "every stream but the one that is live is let go",
        async || {
            let nodes = house.json("/v1/nodes").await;
            let nodes = nodes["items"].as_array().expect("a list");
            let counts: Option<Vec<_>> =
                nodes.iter().map(|node| node["streams"].as_u64()).collect();
            let carriers = counts?
                .into_iter()
                .filter(|count| *count > 0)
                .collect::<Vec<_>>();
            (carriers == [1, 1]).then_some(())
        },
    )
    .await;
}
