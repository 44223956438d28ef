//! A provider that is behind what its subscriber asked for.

use super::*;
use crate::testing;
use astral_media::frame::Media;
use bytes::BytesMut;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::time::{Instant, sleep};

/// Frames come this often.
const FRAME: Duration = Duration::from_millis(33);

/// Sends `stream` from `first` on while `feed` runs, and gives the other end of the wire.
fn send(relay: &Relay, stream: &Arc<Stream>, first: FrameId) -> DuplexStream {
    let (mut socket, other) = tokio::io::duplex(1 << 20);
    let exchange = Exchange::start(
        relay.node(),
        &Request::default(),
        "/relay/{slug}",
        Some(&stream.slug),
    );
    let stream = stream.clone();
    tokio::spawn(async move {
        let reader = ReaderGuard::new(&stream, ReaderKind::Link);
        let wanted = Wanted {
            first: Some(first),
            ..Wanted::default()
        };
        let sender = Sender::new(&reader, wanted, Some(1), exchange);
        drop(sender.run(&mut socket).await);
    });
    other
}

/// The longest silence until the records of `wire` have come to `until`, and the newest frame that
/// a keep-alive told of.
async fn longest_silence(wire: &mut DuplexStream, until: Instant) -> (Duration, Option<FrameId>) {
    let mut bytes = BytesMut::new();
    let mut parameters = None;
    let mut longest = Duration::ZERO;
    let mut told = None;
    let mut last = Instant::now();
    let head = b"\r\n\r\n";
    while Instant::now() < until {
        bytes.reserve(64 << 10);
        wire.read_buf(&mut bytes)
            .await
            .expect("the link stays open");
        longest = longest.max(last.elapsed());
        last = Instant::now();
        if bytes.starts_with(b"HTTP") {
            let end = bytes
                .windows(head.len())
                .position(|window| window == head)
                .expect("a whole head");
            drop(bytes.split_to(end + head.len()));
        }
        while let Some(record) = record::read(&mut bytes, &mut parameters).expect("records") {
            if let Record::KeepAlive { newest, .. } = record {
                told = newest;
            }
        }
    }
    (longest, told)
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_behind_what_was_asked_for_sends_keep_alives_while_its_frames_come() {
    let relay = testing::relay();
    let stream = relay
        .streams()
        .find_or_add(&"demo".parse().unwrap())
        .unwrap();
    let mut wire = send(&relay, &stream, FrameId::new(9, 0));
    let feed = async {
        for gop in 0..9 {
            stream
                .log
                .append([Media::Start(testing::gop_start(gop))])
                .unwrap();
            for number in 0..5 {
                stream
                    .log
                    .append([Media::Frame(testing::frame(gop, number))])
                    .unwrap();
                sleep(FRAME).await;
            }
            stream
                .log
                .append([Media::End(testing::gop_end(gop))])
                .unwrap();
        }
    };
    let until = Instant::now() + 40 * FRAME;
    let ((longest, told), ()) = tokio::join!(longest_silence(&mut wire, until), feed);
    assert!(longest <= KEEP_ALIVE + FRAME, "{longest:?}");
    assert!(
        told > Some(FrameId::new(6, 0)),
        "it tells how far it is: {told:?}"
    );
}

#[test]
fn a_subscriber_is_told_the_newest_common_version_or_why_there_is_none() {
    assert_eq!(
        agree(None),
        Ok(None),
        "a subscriber of the first version does not know the record"
    );
    assert_eq!(agree(Some("1-7")), Ok(Some(1)));
    for bad in ["2-7", "one", "1", ""] {
        let problem = agree(Some(bad)).unwrap_err();
        assert_eq!(problem.code, Code::BadRequest);
        assert!(problem.detail.contains(bad), "{problem}");
    }
}
