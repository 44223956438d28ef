//! Tickets as a provider checks them, by a clock that follows paused time.

use crate::world::{Node, World};
use astral_control_tests::demo;
use astral_proto::limits::{CLOCK_TOLERANCE, TICKET_VALIDITY};
use astral_proto::message::Offer;
use astral_proto::model::Role;
use astral_relay::ListenerKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::sleep;

const PEER: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// The status of the answer of `provider` to a subscriber with `offer`. The link is closed then.
async fn status(provider: &Node, offer: &Offer) -> String {
    let (mut wire, socket) = duplex(64 << 10);
    astral_relay::serve(&provider.relay, socket, PEER, ListenerKind::Media, ());
    let token = &*offer.token;
    let request = format!("GET /relay/demo HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n");
    let sent = wire.write_all(request.as_bytes()).await;
    sent.expect("the provider reads the request");
    let mut head = [0; "HTTP/1.1 200".len()];
    let read = wire.read_exact(&mut head).await;
    read.expect("the provider answers");
    String::from_utf8_lossy(&head)[9..].to_owned()
}

/// Goal: a ticket stops working although its provider never hears of it again. Method: the provider loses the control
/// plane, and ten minutes pass. Its clock must go on, or the ticket would be good for ever.
#[tokio::test(start_paused = true)]
async fn a_ticket_expires_at_a_provider_that_is_cut_off_from_the_control_plane() {
    let world = World::start().await;
    let origin = world.join(Role::Supernode).await;
    let leaf = world.join(Role::Node).await;
    let publisher = world.publish(&origin, &demo()).await;
    let offer = world.offer(&leaf, &demo(), &[]).await;
    assert_eq!(status(&origin, &offer).await, "200");
    origin.loses_control_plane(true);
    drop(publisher);
    sleep(TICKET_VALIDITY - Duration::from_secs(10)).await;
    assert_eq!(status(&origin, &offer).await, "200");
    sleep(CLOCK_TOLERANCE + Duration::from_secs(20)).await;
    assert_eq!(status(&origin, &offer).await, "401");
}
