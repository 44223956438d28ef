//! When a new link takes over, and when it is refused, whatever way its bytes come.

use super::*;
use crate::config::Connect;
use crate::core::Relay;
use crate::observe::Episode;
use crate::testing;
use astral_media::frame::{Frame, Media};
use astral_media::record;
use astral_proto::TicketId;
use astral_proto::limits::{FRAME_BYTES_MAX, HOPS_MAX};
use astral_proto::message::Offer;
use bytes::Bytes;
use std::iter;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;

fn bytes_of(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(record::encode).collect()
}

fn brought(records: &[Record]) -> Brought {
    let mut arrived = Arrived::default();
    let mut brought = Brought::default();
    for piece in bytes_of(records).chunks(700) {
        arrived.bytes.extend_from_slice(piece);
        brought
            .see(&mut arrived)
            .unwrap_or_else(|_| panic!("it is well formed"));
    }
    let left: Vec<Record> = iter::from_fn(|| arrived.next().unwrap()).collect();
    assert_eq!(left, records, "whoever follows the link takes it all");
    brought
}

fn frames(number: u32) -> Vec<Record> {
    let gop = vec![
        Record::Parameters(testing::parameters()),
        Record::Start(testing::gop_start(3)),
    ];
    gop.into_iter()
        .chain((0..=number).map(|number| Record::Frame(testing::frame(3, number))))
        .collect()
}

#[test]
fn a_link_takes_over_once_its_frames_are_not_much_later() {
    let dts = testing::frame(3, 2).dts;
    assert!(!brought(&frames(1)).continues(Some(dts)), "0.4 s behind");
    assert!(brought(&frames(1)).continues(Some(dts - 200_000)));
    assert!(brought(&frames(2)).continues(Some(dts)));
    assert!(brought(&frames(0)).continues(None));
    assert!(!brought(&[]).continues(None), "nothing has come");
}

#[test]
fn a_link_without_frames_takes_over_if_its_provider_has_all_there_is() {
    let newest = Some(FrameId::new(3, 2));
    let told = |newest, upstream_ok| {
        brought(&[Record::KeepAlive {
            newest,
            upstream_ok,
        }])
    };
    assert!(told(newest, true).has_all_up_to(newest));
    assert!(
        !told(newest, false).has_all_up_to(newest),
        "it may be far behind soon"
    );
    assert!(!told(Some(FrameId::new(3, 1)), true).has_all_up_to(newest));
    assert!(!brought(&[]).has_all_up_to(newest));
}

/// Prepares a link that brings `records`, at a relay whose present link has come to frame
/// 3.`number`.
async fn prepared(number: u32, records: &[Record]) -> Result<ReadyLink, LinkEnd> {
    prepared_of(number, bytes_of(records)).await
}

async fn prepared_of(number: u32, bytes: Vec<u8>) -> Result<ReadyLink, LinkEnd> {
    let (near, far) = duplex(64 << 10);
    let wire = Mutex::new(Some(near));
    let relay = testing::relay_by(Connect::Within(Arc::new(move |_| {
        wire.lock().unwrap().take()
    })));
    let provider = tokio::spawn(provide(far, bytes));
    let prepared = prepare_at(&relay, number).await;
    provider.abort();
    prepared
}

async fn prepare_at(relay: &Relay, number: u32) -> Result<ReadyLink, LinkEnd> {
    let slug = "demo".parse().unwrap();
    let stream = relay.streams().find_or_add(&slug).unwrap();
    let started = stream.feed.update(|feed| feed.start_pull(&slug));
    let started = started.unwrap().expect("nobody else feeds it");
    let frames = (0..=number).map(|number| Media::Frame(testing::frame(3, number)));
    stream
        .log
        .append(iter::once(Media::Start(testing::gop_start(3))).chain(frames))
        .unwrap();
    let id = TicketId::random();
    let provider = NodeId::random();
    let offer = Offer {
        id,
        provider,
        advertise: "127.0.0.1:1".into(),
        token: "token".into(),
    };
    let link = Link {
        relay,
        stream: &stream,
        token: &started.token,
        tickets: &started.tickets,
        offer: &offer,
        from: stream.log.next_expected(),
        opened: &Notify::new(),
        failing: None,
        episode: &Episode::join(relay.node(), &stream.slug),
    };
    prepare(&link).await
}

async fn provide(mut wire: DuplexStream, bytes: Vec<u8>) {
    let mut request = [0; 1000];
    assert!(wire.read(&mut request).await.unwrap() > 0);
    wire.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    drop(wire.write_all(&bytes).await);
    std::future::pending::<()>().await;
}

/// A frame of `bytes`.
fn large(number: u32, bytes: usize) -> Record {
    let frame = Frame::clone(&testing::frame(3, number));
    Record::Frame(Arc::new(Frame {
        payload: Bytes::from(vec![0; bytes]),
        ..frame
    }))
}

#[tokio::test(start_paused = true)]
async fn the_largest_allowed_frame_is_waited_for() {
    let started = [frames(0), vec![large(1, FRAME_BYTES_MAX)]].concat();
    let mut ready = prepared(1, &started)
        .await
        .unwrap_or_else(|link_end| panic!("{link_end:?}"));
    let taken: Vec<Record> = iter::from_fn(|| ready.arrived.next().unwrap()).collect();
    assert!(taken == started, "and is taken whole");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_far_behind_is_given_up_before_it_fills_the_memory() {
    let since = Instant::now();
    let backlog: Vec<Record> = iter::once(large(0, 1 << 20))
        .cycle()
        .take(AHEAD_BYTES_MAX / (1 << 20) + 2)
        .collect();
    assert_eq!(
        prepared(4, &backlog).await.err(),
        Some(LinkEnd::Failed(FailoverCause::Behind))
    );
    assert!(since.elapsed() < READY_WITHIN, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_leads_back_here_or_too_far_is_refused_before_the_present_one_is_left() {
    let path = |hops: u32| Record::Path((0..hops).map(|_| NodeId::random()).collect());
    let after = |path| [vec![path], frames(1)].concat();
    assert_eq!(prepared(1, &after(path(HOPS_MAX))).await.err(), None);
    assert_eq!(
        prepared(1, &after(path(HOPS_MAX + 1))).await.err(),
        Some(LinkEnd::Failed(FailoverCause::TooFar))
    );
    let node = NodeId::random();
    assert_eq!(
        fault_of(&[NodeId::random(), node], node),
        Some(FailoverCause::Loop)
    );
}

#[tokio::test(start_paused = true)]
async fn a_link_that_brings_no_records_is_refused() {
    assert_eq!(
        prepared_of(0, vec![0xff; 64]).await.err(),
        Some(LinkEnd::Failed(FailoverCause::Malformed))
    );
}
