//! Starting a relay, and what it does once a second.

use super::statement::own_view;
use crate::config::RelayConfig;
use crate::control::ControlPlane;
use crate::core::{Feed, Relay};
use crate::feed::end_expired_publishes;
use crate::observe::{self, Load};
use astral_proto::model::Viewers;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Starts a relay without streams. Its tasks run until `stopping`, and are tracked by `tasks`.
pub fn start(
    config: RelayConfig,
    control: Arc<dyn ControlPlane>,
    stopping: CancellationToken,
    tasks: TaskTracker,
) -> Relay {
    observe::register_counters();
    let relay = Relay::new(config, control, stopping, tasks);
    relay.spawn(upkeep(relay.clone()));
    relay
}

/// Stops pulling what nobody uses, ends publishes whose grace window is over, and records metrics.
async fn upkeep(relay: Relay) {
    let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tick.tick().await;
        relay.streams().tidy();
        end_expired_publishes(&relay);
        observe::record_load(relay.node(), &load(&relay));
    }
}

fn load(relay: &Relay) -> Load {
    let view = own_view(relay);
    let standby_tickets = view.holds.iter().filter(|held| held.standby).count();
    let mut load = Load {
        limit_kbps: view.limit_kbps.get(),
        viewers_kbps: view.viewer_kbps.get().into(),
        promised_kbps: relay.promised_kbps(),
        served_tickets: view.serves.len(),
        active_tickets: view.holds.len() - standby_tickets,
        standby_tickets,
        viewers: Viewers::default(),
        ..Load::default()
    };
    for stream in relay.streams().all() {
        load.viewers += stream.readers.viewers();
        load.links_kbps += stream.readers.links_kbps(stream.whole_kbps());
        stream.feed.read(|feed| match feed {
            Feed::Origin(_) => load.published += 1,
            Feed::Pulling(_) => load.pulled += 1,
            _ => {}
        });
        if stream.origin().is_some() {
            let kbps = stream.log.kbps();
            load.ingest_kbps.push((stream.slug.to_string(), kbps));
        }
    }
    load
}
