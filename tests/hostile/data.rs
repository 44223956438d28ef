//! Data beside the media: what a publisher says reaches players of FLV and RTMP, at every relay.

use crate::house::house;
use astral_media::flv::{FlvReader, TYPE_DATA};
use astral_media::rtmp::amf0::{self, Value};
use bytes::BytesMut;
use harness::Rtmp;
use harness::eventually;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const VIDEO: u8 = 9;
const DATA: u8 = 18;
/// A configuration of 64x64 pixels.
const CONFIG: &[u8] = b"\x17\0\0\0\0\x01\x42\xc0\x0a\xff\xe1\0\x09\x67\x42\xc0\x0a\xda\x11\x3f\x96\x84\x01\0\x04\x68\xce\x0f\x2c";
const KEYFRAME: &[u8] = b"\x17\x01\0\0\0\0\0\0\x02\x65\x88";

fn values(values: &[Value]) -> Vec<u8> {
    let mut body = BytesMut::new();
    amf0::encode(values, &mut body);
    body.to_vec()
}

fn object(name: &str, text: &str) -> Value {
    Value::Object(vec![(name.to_owned(), text.into())])
}

/// Data tags as they come.
type Told = Arc<Mutex<Vec<Vec<u8>>>>;

/// A publisher whose GOPs are one picture of half a second.
struct Source {
    encoder: Rtmp,
    clock_ms: u32,
}

impl Source {
    async fn shows_a_picture(&mut self) {
        self.encoder
            .message_at(6, VIDEO, self.clock_ms, KEYFRAME)
            .await;
        self.clock_ms += 500;
    }

    async fn says(&mut self, body: &[u8]) {
        self.encoder.message_at(4, DATA, self.clock_ms, body).await;
    }
}

/// The data tags that a viewer at `door` gets of `slug`, as they come.
async fn watch(door: SocketAddr, slug: &str) -> Told {
    let mut socket = TcpStream::connect(door).await.expect("the door is open");
    let request = format!("GET /live/{slug}.flv HTTP/1.1\r\nHost: relay\r\n\r\n");
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it is taken");
    let told = Told::default();
    let shared = told.clone();
    tokio::spawn(async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.expect("a head"));
        }
        let mut reader = FlvReader::new();
        let mut bytes = vec![0; 64 << 10];
        loop {
            let count = socket.read(&mut bytes).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            reader.push(&bytes[..count]).expect("FLV comes");
            while let Some(tag) = reader.next_tag().expect("FLV comes") {
                if tag.tag_type == TYPE_DATA {
                    shared
                        .lock()
                        .expect("nobody panics")
                        .push(tag.body.to_vec());
                }
            }
        }
    });
    told
}

/// Goal: text, cue points and a change of metadata reach viewers at the origin and one relay further.
/// Method: viewers wait at both relays while a publisher says each between its pictures; the data must come unchanged,
/// in order, and metadata that is repeated must not.
#[tokio::test]
async fn data_reaches_viewers_at_every_relay_in_order() {
    let house = house();
    let mut source = Source {
        encoder: Rtmp::publish(house.cluster.rtmp(1), "data").await,
        clock_ms: 0,
    };
    source.encoder.message(6, VIDEO, CONFIG.len(), CONFIG).await;
    let first = values(&[
        "@setDataFrame".into(),
        "onMetaData".into(),
        object("title", "first"),
    ]);
    source.says(&first).await;
    for _ in 0..4 {
        source.shows_a_picture().await;
    }
    let viewers = [
        watch(house.cluster.media(1), "data").await,
        watch(house.cluster.media(2), "data").await,
    ];
    let count = |viewer: &Told| viewer.lock().expect("nobody panics").len();
    let shared = tokio::sync::Mutex::new(source);
    eventually("both viewers are shown the stream", async || {
        shared.lock().await.shows_a_picture().await;
        viewers.iter().all(|viewer| count(viewer) > 0).then_some(())
    })
    .await;
    let mut source = shared.into_inner();
    let said = [
        values(&["onTextData".into(), object("text", "hello")]),
        values(&["onCuePoint".into(), object("name", "goal")]),
        values(&["onMetaData".into(), object("title", "second")]),
        values(&["onMetaData".into(), object("title", "second")]),
        first,
    ];
    for body in &said {
        source.says(body).await;
        source.shows_a_picture().await;
    }
    let back = values(&["onMetaData".into(), object("title", "first")]);
    let expected = [&said[..3], &[back]].concat();
    for viewer in &viewers {
        eventually("the data has come", async || {
            (count(viewer) > expected.len()).then_some(())
        })
        .await;
        let told = viewer.lock().expect("nobody panics").clone();
        assert_eq!(
            told[1..],
            expected,
            "behind the metadata that every viewer gets first"
        );
    }
}
