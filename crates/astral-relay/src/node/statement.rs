//! What a relay states in its heartbeats, and what it takes from the answers.

use crate::core::{Feed, Relay, Stream};
use astral_proto::message::{Heartbeat, HeartbeatReply, HeldTicket, Landmark, Registered};
use astral_proto::{Kbps, UnixMillis};

/// Everything that the control plane knows of this node.
pub fn statement(relay: &Relay) -> Heartbeat {
    Heartbeat {
        sent_at: UnixMillis::new(relay.next_sent_at(relay.now_ms())),
        ..own_view(relay)
    }
}

/// As [`statement`], for this relay's own use: it is not sent, and so has no time.
pub fn own_view(relay: &Relay) -> Heartbeat {
    let streams = relay.streams().all();
    let viewer_kbps: u64 = streams.iter().map(|stream| viewers_kbps(stream)).sum();
    let carried = streams.iter().filter(|stream| stream.is_carried());
    Heartbeat {
        node: relay.node(),
        draining: relay.departure().has_begun(),
        limit_kbps: Kbps::new(relay.limit_kbps()),
        viewer_kbps: Kbps::new(u32::try_from(viewer_kbps).unwrap_or(u32::MAX)),
        streams: carried.map(|stream| stream.carried()).collect(),
        serves: relay.ticket_check().serving(),
        rtts: relay.distances().rtts(),
        holds: streams.iter().flat_map(|stream| held(stream)).collect(),
        generation: relay.generation(),
        sent_at: UnixMillis::new(0),
        notices: relay.notices().stated(),
        process: relay.process(),
    }
}

fn viewers_kbps(stream: &Stream) -> u64 {
    stream.readers.viewers_kbps(stream.whole_kbps())
}

/// The tickets by which `stream` is pulled.
fn held(stream: &Stream) -> Vec<HeldTicket> {
    let tickets = stream.feed.read(|feed| feed.tickets().cloned());
    tickets.map_or_else(Vec::new, |tickets| tickets.held(&stream.slug))
}

/// Applies the answer to a registration.
pub fn apply_registration(relay: &Relay, registered: &Registered) {
    relay.ticket_check().trust(&registered.ticket_keys);
    relay.set_generation(registered.generation);
    measure(relay, &registered.supernodes);
    relay.update_status(|status| {
        status.role = Some(registered.role);
        status.primary_supernode = registered.primary_supernode;
    });
}

/// Applies the answer to a heartbeat. Returns whether the broker has new ledgers, so that the next
/// heartbeat must not wait: only it can restore them.
pub fn apply_heartbeat_reply(relay: &Relay, reply: &HeartbeatReply) -> bool {
    relay.ticket_check().trust(&reply.ticket_keys);
    relay.ticket_check().trust(&reply.tickets.ticket_keys);
    relay.set_promised_kbps(reply.tickets.promised_kbps.get());
    for stream in relay.streams().all() {
        if let Some(tickets) = stream.feed.read(|feed: &Feed| feed.tickets().cloned()) {
            tickets.apply_renewal(&reply.tickets);
        }
    }
    measure(relay, &reply.supernodes);
    relay.update_status(|status| status.primary_supernode = reply.primary_supernode);
    relay.set_generation(reply.tickets.generation)
}

/// Measures the round trips to these supernodes and to the known ones, unless that was done a
/// moment ago.
fn measure(relay: &Relay, landmarks: &[Landmark]) {
    if let Some(round) = relay.distances().next_round(landmarks, relay.node()) {
        let measured = relay.clone();
        relay.spawn(async move {
            measured
                .distances()
                .measure(&measured.config().connect, round)
                .await
        });
    }
}
