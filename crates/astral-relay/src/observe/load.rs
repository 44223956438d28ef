//! What a relay does at the moment, told once a second. Gauges that are not told any more go by themselves.

use crate::core::Relay;
use crate::core::SeatKind;
use astral_proto::message::Heartbeat;
use astral_proto::model::Viewers;

/// Tells of `relay`.
pub fn tell(relay: &Relay) {
    let node = relay.node().to_string();
    let said = relay.peek();
    capacity(relay, &node, &said);
    viewers(relay, &node);
    tickets(&node, &said);
    for stream in relay
        .streams()
        .iter()
        .filter(|stream| stream.fed_by() == Some(SeatKind::Origin))
    {
        let slug = stream.slug.to_string();
        metrics::gauge!("astral_ingest_kbps", "node" => node.clone(), "slug" => slug)
            .set(stream.log.kbps());
    }
}

fn capacity(relay: &Relay, node: &str, said: &Heartbeat) {
    let gauge = |name: &'static str, value: f64| {
        metrics::gauge!(name, "node" => node.to_owned()).set(value)
    };
    gauge("astral_capacity_limit_kbps", said.limit_kbps.into());
    gauge("astral_capacity_used_kbps", said.viewer_kbps.into());
    gauge(
        "astral_capacity_promised_kbps",
        relay.promised_kbps().into(),
    );
    let links: u64 = relay
        .streams()
        .iter()
        .map(|stream| stream.links_kbps())
        .sum();
    gauge("astral_capacity_links_kbps", links as f64);
}

fn viewers(relay: &Relay, node: &str) {
    let mut watching = Viewers::default();
    let mut origin = 0_u32;
    let mut pulled = 0_u32;
    for stream in relay.streams() {
        watching += stream.viewers();
        match stream.fed_by() {
            Some(SeatKind::Origin) => origin += 1,
            Some(SeatKind::Pull) => pulled += 1,
            None => {}
        }
    }
    for (protocol, count) in [
        ("flv", watching.flv),
        ("rtmp", watching.rtmp),
        ("hls", watching.hls),
    ] {
        metrics::gauge!("astral_viewers", "node" => node.to_owned(), "protocol" => protocol)
            .set(count);
    }
    for (from, count) in [("publisher", origin), ("provider", pulled)] {
        metrics::gauge!("astral_streams", "node" => node.to_owned(), "from" => from).set(count);
    }
}

fn tickets(node: &str, said: &Heartbeat) {
    let standby = said.holds.iter().filter(|held| held.standby).count();
    let states = [
        ("served", said.serves.len()),
        ("active", said.holds.len() - standby),
        ("standby", standby),
    ];
    for (state, count) in states {
        metrics::gauge!("astral_tickets", "node" => node.to_owned(), "state" => state)
            .set(count as f64);
    }
}
