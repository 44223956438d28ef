//! A subscriber's link against a provider that does what a dying provider does. Time is paused, so
//! the socket is a pipe.

use super::*;
use crate::core::{Feed, Stage, StartedPull};
use crate::testing;
use astral_media::record::{self, VERSIONS_FIELD};
use astral_proto::TicketId;
use astral_proto::limits::LINK_SILENCE;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";

struct Subscriber {
    relay: Relay,
    stream: Arc<Stream>,
    started: StartedPull,
}

impl Subscriber {
    fn new() -> Self {
        let relay = testing::relay();
        let slug = "demo".parse().unwrap();
        let stream = relay.streams().find_or_add(&slug).unwrap();
        let started = stream.feed.update(|feed| feed.start_pull(&slug));
        Self {
            relay,
            stream,
            started: started.unwrap().expect("nobody else feeds it"),
        }
    }

    /// Follows a link whose other end is played by `provider`, once it has the request.
    async fn follows<F: Future<Output = ()>>(
        &self,
        provider: impl FnOnce(DuplexStream) -> F,
    ) -> LinkEnd {
        self.follows_after(|_| (), provider).await
    }

    async fn follows_after<F: Future<Output = ()>>(
        &self,
        see_request: impl FnOnce(String),
        provider: impl FnOnce(DuplexStream) -> F,
    ) -> LinkEnd {
        let offer = Offer {
            id: TicketId::random(),
            provider: NodeId::random(),
            advertise: "127.0.0.1:1".into(),
            token: "token".into(),
        };
        let opened = Notify::new();
        let from = self.stream.log.next_expected();
        let episode = Episode::join(self.relay.node(), &self.stream.slug);
        let link = Link {
            relay: &self.relay,
            stream: &self.stream,
            token: &self.started.token,
            tickets: &self.started.tickets,
            offer: &offer,
            from,
            opened: &opened,
            failing: None,
            episode: &episode,
        };
        let mut span = link.start_span();
        let (here, mut there) = tokio::io::duplex(1 << 20);
        let provider = async {
            let mut request = vec![0; 1000];
            let length = there.read(&mut request).await.unwrap();
            see_request(String::from_utf8_lossy(&request[..length]).into_owned());
            provider(there).await;
            std::future::pending::<LinkEnd>().await
        };
        tokio::select! {
            link_end = link.follow(here, &mut span) => link_end,
            never = provider => never,
        }
    }
}

/// Answers 200 and sends `records`, then gives the socket back.
async fn send(mut socket: DuplexStream, records: &[Record]) -> DuplexStream {
    socket.write_all(OK).await.unwrap();
    for record in records {
        socket.write_all(&record::encode(record)).await.unwrap();
    }
    socket
}

fn some_frames() -> Vec<Record> {
    vec![
        Record::Path(vec![NodeId::random()]),
        keep_alive(true),
        Record::Parameters(testing::parameters()),
        Record::Start(testing::gop_start(3)),
        Record::Frame(testing::frame(3, 0)),
        Record::Frame(testing::frame(3, 1)),
    ]
}

fn keep_alive(upstream_ok: bool) -> Record {
    Record::KeepAlive {
        newest: None,
        upstream_ok,
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_closes_without_an_ended_record_has_failed_and_its_frames_are_kept() {
    let subscriber = Subscriber::new();
    let link_end = subscriber
        .follows(|socket| async { drop(send(socket, &some_frames()).await) })
        .await;
    assert_eq!(link_end, LinkEnd::Failed(FailoverCause::Closed));
    assert_eq!(
        subscriber.stream.log.next_expected(),
        Some(FrameId::new(3, 2))
    );
    assert_eq!(
        subscriber.stream.path.borrow().last(),
        Some(&subscriber.relay.node())
    );
    assert_eq!(subscriber.stream.feed.read(Feed::stage), Stage::Flowing);
}

#[tokio::test(start_paused = true)]
async fn an_ended_record_is_the_end_and_no_failure() {
    let records = [some_frames(), vec![Record::Ended]].concat();
    let link_end = Subscriber::new()
        .follows(|socket| async move { drop(send(socket, &records).await) })
        .await;
    assert_eq!(link_end, LinkEnd::StreamEnded);
}

#[tokio::test(start_paused = true)]
async fn a_provider_may_choose_a_version_that_was_offered_and_no_other() {
    for (version, outcome) in [
        (1, LinkEnd::StreamEnded),
        (2, LinkEnd::Failed(FailoverCause::Malformed)),
    ] {
        let records = [
            vec![Record::Version(version)],
            some_frames(),
            vec![Record::Ended],
        ]
        .concat();
        let see_request = |request: String| {
            let field = format!("\r\n{VERSIONS_FIELD}: {}\r\n", Versions::OURS);
            assert!(request.contains(&field), "{request}");
        };
        let provider = |socket| async move { drop(send(socket, &records).await) };
        assert_eq!(
            Subscriber::new().follows_after(see_request, provider).await,
            outcome
        );
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_second_of_silence_is_a_failure() {
    let before = Instant::now();
    let silent = |socket| async {
        let _open = send(socket, &some_frames()).await;
        std::future::pending::<()>().await;
    };
    assert_eq!(
        Subscriber::new().follows(silent).await,
        LinkEnd::Failed(FailoverCause::Silent)
    );
    assert!(before.elapsed() < LINK_SILENCE + Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_is_a_failure() {
    let mute = |socket: DuplexStream| async {
        let _open = socket;
        std::future::pending::<()>().await;
    };
    assert_eq!(
        Subscriber::new().follows(mute).await,
        LinkEnd::Failed(FailoverCause::Silent)
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_is_never_left_while_keep_alives_come() {
    let idle = |socket| async {
        let mut socket = send(socket, &some_frames()).await;
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            socket
                .write_all(&record::encode(&keep_alive(true)))
                .await
                .unwrap();
        }
        socket
            .write_all(&record::encode(&Record::Ended))
            .await
            .unwrap();
    };
    assert_eq!(
        Subscriber::new().follows(idle).await,
        LinkEnd::StreamEnded,
        "a minute without a frame moves nobody"
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_left_after_one_second_without_an_upstream_and_not_earlier() {
    let lost = |steps: u32| {
        move |socket| async move {
            let mut socket = send(socket, &some_frames()).await;
            for step in 0..steps {
                tokio::time::sleep(Duration::from_millis(100)).await;
                drop(
                    socket
                        .write_all(&record::encode(&keep_alive(step % steps == steps - 1)))
                        .await,
                );
            }
            drop(socket.write_all(&record::encode(&Record::Ended)).await);
        }
    };
    assert_eq!(
        Subscriber::new().follows(lost(8)).await,
        LinkEnd::StreamEnded
    );
    assert_eq!(
        Subscriber::new().follows(lost(15)).await,
        LinkEnd::Failed(FailoverCause::UpstreamLost)
    );
}

#[tokio::test(start_paused = true)]
async fn its_own_id_in_the_path_is_a_loop() {
    let subscriber = Subscriber::new();
    let path = [Record::Path(vec![
        NodeId::random(),
        subscriber.relay.node(),
    ])];
    let link_end = subscriber
        .follows(|socket| async move { drop(send(socket, &path).await) })
        .await;
    assert_eq!(link_end, LinkEnd::Failed(FailoverCause::Loop));
}

#[tokio::test(start_paused = true)]
async fn a_path_that_grows_too_long_is_left_and_not_passed_on() {
    let subscriber = Subscriber::new();
    let path = |relays: u32| Record::Path((0..relays).map(|_| NodeId::random()).collect());
    let grows = [path(HOPS_MAX), path(HOPS_MAX + 1)];
    let link_end = subscriber
        .follows(|socket| async move { drop(send(socket, &grows).await) })
        .await;
    assert_eq!(link_end, LinkEnd::Failed(FailoverCause::TooFar));
    assert_eq!(subscriber.stream.path.borrow().len(), HOPS_MAX as usize + 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_a_failure() {
    for (status, link_end) in [
        ("410 Gone", LinkEnd::FrameGone),
        (
            "503 Service Unavailable",
            LinkEnd::Refused(FailoverCause::Full),
        ),
        ("403 Forbidden", LinkEnd::Refused(FailoverCause::Refused)),
    ] {
        let refuse = |mut socket: DuplexStream| async move {
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            drop(socket.write_all(head.as_bytes()).await);
        };
        assert_eq!(
            Subscriber::new().follows(refuse).await,
            link_end,
            "{status}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_record_and_missing_frames_are_failures() {
    let garbage = |mut socket: DuplexStream| async move {
        drop(socket.write_all(OK).await);
        drop(socket.write_all(&[0xFF; 8]).await);
        std::future::pending::<()>().await;
    };
    assert_eq!(
        Subscriber::new().follows(garbage).await,
        LinkEnd::Failed(FailoverCause::Malformed)
    );
    let records = [some_frames(), vec![Record::Frame(testing::frame(3, 4))]].concat();
    let link_end = Subscriber::new()
        .follows(|socket| async move { drop(send(socket, &records).await) })
        .await;
    assert_eq!(link_end, LinkEnd::Failed(FailoverCause::MissingFrames));
}

#[tokio::test(start_paused = true)]
async fn the_next_provider_is_asked_for_the_frame_after_the_last_and_may_repeat_itself() {
    let subscriber = Subscriber::new();
    subscriber
        .follows(|socket| async { drop(send(socket, &some_frames()).await) })
        .await;
    let asks_for_the_next = |request: String| {
        assert!(
            request.starts_with("GET /relay/demo?from=3.2&incarnation=00005eed HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("Authorization: Bearer token\r\n"));
    };
    let records = [
        some_frames(),
        vec![Record::Frame(testing::frame(3, 2)), Record::Ended],
    ]
    .concat();
    let repeats = |socket| async move { drop(send(socket, &records).await) };
    assert_eq!(
        subscriber.follows_after(asks_for_the_next, repeats).await,
        LinkEnd::StreamEnded
    );
    assert_eq!(
        subscriber.stream.log.next_expected(),
        Some(FrameId::new(3, 3))
    );
}
