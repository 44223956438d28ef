//! A subscriber's link against a provider that does what a dying provider does. Time is paused, so the socket is a pipe.

use super::*;
use crate::testing;
use astral_media::record;
use astral_proto::TicketId;
use std::time::Duration;
use tokio::io::DuplexStream;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";

struct Subscriber {
    relay: Relay,
    stream: Arc<Stream>,
}

impl Subscriber {
    fn new() -> Self {
        let relay = testing::relay();
        let stream = relay.find_or_add(&"demo".parse().unwrap()).unwrap();
        Self { relay, stream }
    }

    /// Follows a link whose other end is played by `provider`, once it has the request.
    async fn follows<F: Future<Output = ()>>(
        &self,
        provider: impl FnOnce(DuplexStream) -> F,
    ) -> Parted {
        self.follows_after(|_| (), provider).await
    }

    async fn follows_after<F: Future<Output = ()>>(
        &self,
        see_request: impl FnOnce(String),
        provider: impl FnOnce(DuplexStream) -> F,
    ) -> Parted {
        let offer = Offer {
            id: TicketId::random(),
            provider: NodeId::random(),
            advertise: "127.0.0.1:1".into(),
            token: "token".into(),
        };
        let opened = Notify::new();
        let from = self.stream.log.next_expected();
        let relay = &self.relay;
        let stream = &self.stream;
        let episode = Episode::join(relay, &stream.slug);
        let mut opening = Opening::begun(&episode, offer.provider, &offer.advertise);
        let opened = &opened;
        let failing = None;
        let follow = Follow {
            relay,
            stream,
            offer: &offer,
            from,
            opened,
            failing,
            episode: &episode,
        };
        let (here, mut there) = tokio::io::duplex(1 << 20);
        let provider = async {
            let mut request = vec![0; 1000];
            let length = there.read(&mut request).await.unwrap();
            see_request(String::from_utf8_lossy(&request[..length]).into_owned());
            provider(there).await;
            std::future::pending::<Parted>().await
        };
        tokio::select! {
            parted = follow.follow(here, &mut opening) => parted,
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
async fn a_close_without_a_goodbye_is_a_failure_and_what_came_is_kept() {
    let subscriber = Subscriber::new();
    let parted = subscriber
        .follows(|socket| async { drop(send(socket, &some_frames()).await) })
        .await;
    assert_eq!(parted, Parted::Failed(FailoverCause::Closed));
    assert_eq!(
        subscriber.stream.log.next_expected(),
        Some(FrameId::new(3, 2))
    );
    assert_eq!(
        subscriber.stream.path.borrow().last(),
        Some(&subscriber.relay.node())
    );
    assert_eq!(*subscriber.stream.supply.borrow(), Supply::Flowing);
}

#[tokio::test(start_paused = true)]
async fn an_ended_record_is_the_end_and_no_failure() {
    let records = [some_frames(), vec![Record::Ended]].concat();
    let parted = Subscriber::new()
        .follows(|socket| async move { drop(send(socket, &records).await) })
        .await;
    assert_eq!(parted, Parted::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_provider_may_choose_a_version_that_was_offered_and_no_other() {
    for (version, outcome) in [
        (1, Parted::Ended),
        (2, Parted::Failed(FailoverCause::Malformed)),
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
        Parted::Failed(FailoverCause::Silent)
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
        Parted::Failed(FailoverCause::Silent)
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
        Parted::Ended,
        "a minute without a frame moves nobody"
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_has_lost_its_upstream_for_a_second_is_left_and_a_blink_is_not() {
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
    assert_eq!(Subscriber::new().follows(lost(8)).await, Parted::Ended);
    assert_eq!(
        Subscriber::new().follows(lost(15)).await,
        Parted::Failed(FailoverCause::UpstreamLost)
    );
}

#[tokio::test(start_paused = true)]
async fn its_own_id_in_the_path_is_a_loop() {
    let subscriber = Subscriber::new();
    let path = [Record::Path(vec![
        NodeId::random(),
        subscriber.relay.node(),
    ])];
    let parted = subscriber
        .follows(|socket| async move { drop(send(socket, &path).await) })
        .await;
    assert_eq!(parted, Parted::Failed(FailoverCause::Loop));
}

#[tokio::test(start_paused = true)]
async fn a_path_that_has_grown_over_the_most_hops_is_left_and_not_told_on() {
    let subscriber = Subscriber::new();
    let path = |relays: u32| Record::Path((0..relays).map(|_| NodeId::random()).collect());
    let grows = [path(HOPS_MAX), path(HOPS_MAX + 1)];
    let parted = subscriber
        .follows(|socket| async move { drop(send(socket, &grows).await) })
        .await;
    assert_eq!(parted, Parted::Failed(FailoverCause::TooFar));
    assert_eq!(subscriber.stream.path.borrow().len(), HOPS_MAX as usize + 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_from_failures() {
    for (status, parted) in [
        ("410 Gone", Parted::Gone),
        (
            "503 Service Unavailable",
            Parted::Refused(FailoverCause::Full),
        ),
        ("403 Forbidden", Parted::Refused(FailoverCause::Refused)),
    ] {
        let refuse = |mut socket: DuplexStream| async move {
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            drop(socket.write_all(head.as_bytes()).await);
        };
        assert_eq!(Subscriber::new().follows(refuse).await, parted, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn nonsense_and_missing_frames_are_failures() {
    let garbage = |mut socket: DuplexStream| async move {
        drop(socket.write_all(OK).await);
        drop(socket.write_all(&[0xFF; 8]).await);
        std::future::pending::<()>().await;
    };
    assert_eq!(
        Subscriber::new().follows(garbage).await,
        Parted::Failed(FailoverCause::Malformed)
    );
    let records = [some_frames(), vec![Record::Frame(testing::frame(3, 4))]].concat();
    let parted = Subscriber::new()
        .follows(|socket| async move { drop(send(socket, &records).await) })
        .await;
    assert_eq!(parted, Parted::Failed(FailoverCause::MissingFrames));
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
        Parted::Ended
    );
    assert_eq!(
        subscriber.stream.log.next_expected(),
        Some(FrameId::new(3, 3))
    );
}
