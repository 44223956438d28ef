//! What a relay does at the moment, as gauges.

use astral_proto::NodeId;
use astral_proto::model::Viewers;

/// What a relay does at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// What it may send, kbit/s.
    pub limit_kbps: u32,
    /// What it sends to viewers, kbit/s.
    pub viewers_kbps: u64,
    /// What it sends to relays, kbit/s.
    pub links_kbps: u64,
    /// What it has promised to relays, kbit/s.
    pub promised_kbps: u32,
    /// Who watches.
    pub viewers: Viewers,
    /// How many streams are published here.
    pub published: u32,
    /// How many streams it pulls.
    pub pulled: u32,
    /// Tickets whose links it serves.
    pub served_tickets: usize,
    /// Tickets that it uses.
    pub active_tickets: usize,
    /// Tickets that it holds for a failover.
    pub standby_tickets: usize,
    /// The streams that are published here, with their bitrates in kbit/s.
    pub ingest_kbps: Vec<(String, u32)>,
}

/// Sets the gauges of the relay `node`. Call it once a second: gauges that are no longer set
/// expire.
pub fn record_load(node: NodeId, load: &Load) {
    let node = node.to_string();
    capacity(&node, load);
    labelled(
        "astral_viewers",
        &node,
        "protocol",
        [
            ("flv", f64::from(load.viewers.flv)),
            ("rtmp", f64::from(load.viewers.rtmp)),
            ("hls", f64::from(load.viewers.hls)),
        ],
    );
    labelled(
        "astral_streams",
        &node,
        "from",
        [
            ("publisher", f64::from(load.published)),
            ("provider", f64::from(load.pulled)),
        ],
    );
    labelled(
        "astral_tickets",
        &node,
        "state",
        [
            ("served", load.served_tickets as f64),
            ("active", load.active_tickets as f64),
            ("standby", load.standby_tickets as f64),
        ],
    );
    for (slug, kbps) in &load.ingest_kbps {
        metrics::gauge!("astral_ingest_kbps", "node" => node.clone(), "slug" => slug.clone())
            .set(*kbps);
    }
}

fn capacity(node: &str, load: &Load) {
    let gauges = [
        ("astral_capacity_limit_kbps", f64::from(load.limit_kbps)),
        ("astral_capacity_used_kbps", load.viewers_kbps as f64),
        (
            "astral_capacity_promised_kbps",
            f64::from(load.promised_kbps),
        ),
        ("astral_capacity_links_kbps", load.links_kbps as f64),
    ];
    for (name, value) in gauges {
        metrics::gauge!(name, "node" => node.to_owned()).set(value);
    }
}

/// Sets one gauge for each value of `label`.
fn labelled<const N: usize>(
    name: &'static str,
    node: &str,
    label: &'static str,
    values: [(&'static str, f64); N],
) {
    for (of, value) in values {
        metrics::gauge!(name, "node" => node.to_owned(), label => of).set(value);
    }
}
