//! Heartbeats of a real relay that serves many links, each by a ticket of its own, as NATS carries them.

use super::servers::Servers;
use crate::process::Network;
use crate::publisher::Publisher;
use anyhow::{Context, Result, ensure};
use astral_backend::{Backend, Subscription};
use astral_proto::limits::HEARTBEAT_INTERVAL;
use astral_proto::message::{ConfirmTicket, Heartbeat, Offer, Request, RequestTicket};
use astral_proto::{NodeId, Slug};
use futures_util::future::try_join_all;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const SLUG: &str = "heartbeats";
/// Tickets that the relay serves.
pub const LINKS: usize = 100;
const WITHIN: Duration = Duration::from_secs(5);
const START_WAIT: Duration = Duration::from_secs(20);
/// How long heartbeats are counted.
const WINDOW: Duration = Duration::from_secs(12);
/// A relay shortens the interval by a fifth at most; what comes sooner is one more within it.
const SHORTEST: Duration = Duration::from_millis(HEARTBEAT_INTERVAL.as_millis() as u64 * 3 / 4);

/// Messages on the subject of heartbeats for each interval of one relay.
///
/// # Errors
/// If the relay or a link fails, or a heartbeat leaves out a ticket.
pub async fn in_an_interval(servers: &Servers) -> Result<f64> {
    let backend = &servers.backend;
    // Nobody else sends any: the crowd asks the broker itself.
    let mut heard = backend
        .bus
        .subscribe::<Heartbeat>(Heartbeat::SUBJECT, None)
        .await?;
    let network = Network::start_on(1, &servers.addresses()).await?;
    let _publisher = Publisher::start(network.rtmp(1), SLUG).await?;
    let mut links = JoinSet::new();
    for socket in try_join_all((0..LINKS).map(|_| link(backend))).await? {
        links.spawn(async move { copy(&mut { socket }, &mut sink()).await });
    }
    timeout(START_WAIT, until_all_are_stated(&mut heard))
        .await
        .context("the relay does not state its links")??;
    let times = counted(&mut heard).await?;
    ensure!(links.try_join_next().is_none(), "a link has ended");
    let intervals = 1 + times
        .windows(2)
        .filter(|pair| pair[1] - pair[0] >= SHORTEST)
        .count();
    Ok(times.len() as f64 / intervals as f64)
}

/// A link to the relay, by a ticket from the broker.
async fn link(backend: &Backend) -> Result<TcpStream> {
    let subscriber = NodeId::random();
    let Offer {
        id,
        advertise,
        token,
        ..
    } = offer(backend, subscriber).await?;
    backend
        .bus
        .request(&ConfirmTicket { id, subscriber }, WITHIN)
        .await?;
    let mut socket = TcpStream::connect(&advertise).await?;
    let head = format!(
        "GET /relay/{SLUG} HTTP/1.1\r\nHost: {advertise}\r\nAuthorization: Bearer {}\r\n\r\n",
        &*token
    );
    socket.write_all(head.as_bytes()).await?;
    let mut status = [0; 12];
    timeout(WITHIN, socket.read_exact(&mut status))
        .await
        .context("the relay gives no link")??;
    ensure!(
        &status == b"HTTP/1.1 200",
        "the relay answers {:?}",
        String::from_utf8_lossy(&status)
    );
    Ok(socket)
}

async fn offer(backend: &Backend, subscriber: NodeId) -> Result<Offer> {
    let slug: Slug = SLUG.parse()?;
    let ask = RequestTicket {
        slug,
        subscriber,
        exclude: vec![],
        left: vec![],
    };
    let begun = Instant::now();
    loop {
        match backend.bus.request(&ask, WITHIN).await {
            Ok(tickets) => return Ok(tickets.active),
            // The relay has only just begun to carry it.
            Err(_) if begun.elapsed() < START_WAIT => sleep(Duration::from_millis(100)).await,
            Err(problem) => return Err(problem.into()),
        }
    }
}

async fn until_all_are_stated(heard: &mut Subscription<Heartbeat>) -> Result<()> {
    while heard.next().await.context("the bus has gone")?.serves.len() < LINKS {}
    Ok(())
}

/// When each heartbeat came; every one states every ticket.
async fn counted(heard: &mut Subscription<Heartbeat>) -> Result<Vec<Instant>> {
    let mut times = Vec::new();
    let begun = Instant::now();
    while let Some(left) = WINDOW.checked_sub(begun.elapsed()) {
        let Ok(said) = timeout(left, heard.next()).await else {
            break;
        };
        let stated = said.context("the bus has gone")?.serves.len();
        ensure!(
            stated == LINKS,
            "a heartbeat states {stated} of {LINKS} tickets"
        );
        times.push(Instant::now());
    }
    ensure!(times.len() > 2, "the relay has fallen silent");
    Ok(times)
}
