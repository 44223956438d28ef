//! What an encoder may do wrong, and what only an attacker does.

use crate::house::house;
use crate::wire::{Rtmp, send, until_closed};
use astral_media::rtmp::amf0::Value;
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
        for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4000], &[0xFF; 64 << 10], b"\x06"] {
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

#[tokio::test]
async fn chunk_streams_without_end_are_refused() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut client = Rtmp::publish(door, "streams").await;
        for chunk_stream in 7..63 {
            client.message(chunk_stream, AUDIO, 4096, &[0xAF; 128]).await;
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
    house().endures("rtmp", "media_before_publish", attack).await;
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
        encoder.message(6, VIDEO, sequence_start.len(), &sequence_start).await;
        let (code, description) = encoder.status().await.expect("a status before the close");
        assert_eq!(code, "NetStream.Publish.Failed");
        assert!(description.contains("HEVC") && description.contains("H.264"), "{description}");
        assert_eq!(encoder.status().await, None, "and then the close");
    };
    house().endures("rtmp", "flv", attack).await;
}

#[tokio::test]
async fn a_codec_configuration_that_cannot_be_read_is_refused() {
    let door = house().cluster.rtmp(1);
    let attack = async {
        let mut encoder = Rtmp::publish(door, "config").await;
        encoder.message(6, VIDEO, 20, &[&[0x17, 0, 0, 0, 0][..], &[0xFF; 15]].concat()).await;
        assert_eq!(encoder.status().await.expect("a status").0, "NetStream.Publish.Failed");
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
        second.command(&["publish".into(), 2.0.into(), Value::Null, crate::house::SLUG.into()]).await;
        assert_eq!(second.status().await.expect("a status").0, "NetStream.Publish.BadName");
        until_closed(&mut second.socket).await;
    };
    house().endures("rtmp", "conflict", attack).await;
}

#[tokio::test]
async fn peers_that_go_away_in_the_middle_of_anything_are_no_failures() {
    let (house, door) = (house(), house().cluster.rtmp(1));
    for part in [0, 1, 700, 1537, 2000] {
        let mut socket = tokio::net::TcpStream::connect(door).await.expect("the door is open");
        socket.write_all(&[&[3][..], &[0; 3000]].concat()[..part]).await.expect("it is taken");
    }
    let mut cut = Rtmp::publish(door, "cut").await;
    cut.message(6, VIDEO, 100_000, &[0x17; 3000]).await;
    drop(cut);
    eventually("the publish is over", async || (house.stream("cut").await["state"] == "grace").then_some(()))
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
    assert_eq!(client.status().await.expect("an answer").0, "NetStream.Publish.Start");
}

#[tokio::test]
async fn a_stream_published_over_and_over_stays_one_stream() {
    let (house, door) = (house(), house().cluster.rtmp(1));
    let mut client = Rtmp::publish(door, "again").await;
    for _ in 0..10 {
        client.command(&["deleteStream".into(), 3.0.into(), Value::Null, 1.0.into()]).await;
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
    assert_eq!(streams.iter().filter(|stream| stream["slug"] == "again").count(), 1);
    house.is_unharmed().await;
    eventually("every stream but the one that is live is let go", async || {
        let nodes = house.json("/v1/nodes").await;
        let carried = nodes["items"].as_array().expect("a list").iter().map(|node| node["streams"].as_u64());
        carried.collect::<Option<Vec<_>>>().filter(|carried| *carried == [1, 1])
    })
    .await;
}
