//! The tree of a stream as users see it.

use crate::broker::Broker;
use crate::carrier::{Carrier, second_to_last};
use crate::error::Error;
use crate::lag::{behind_ms, origin_of};
use astral_proto::message::{GetStream, GetTree};
use astral_proto::model::{Tree, TreeRelay};
use std::time::Duration;

/// How long the directory may take to answer.
const DIRECTORY_ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// The relays that carry a stream, as they last reported.
///
/// # Errors
/// `not_found` if there is no such stream; those of the state.
pub async fn tree(broker: Broker, ask: GetTree) -> Result<Tree, Error> {
    let carriers = broker.store.carriers.all(&ask.slug).await?;
    let origin = origin_of(carriers.values().map(|carrier| &**carrier));
    let mut relays: Vec<TreeRelay> = carriers
        .values()
        .filter_map(|carrier| tree_relay(carrier, origin))
        .collect();
    relays.sort_by_key(|relay| (relay.hops, relay.node));
    let reported_epochs = carriers
        .values()
        .filter_map(|carrier| Some(carrier.carried.as_ref()?.epoch));
    let epoch = match reported_epochs.max() {
        Some(epoch) => epoch,
        // No relay carries it. The directory knows whether there is such a stream.
        None => {
            let get = GetStream {
                slug: ask.slug.clone(),
            };
            let stream = broker.bus.request(&get, DIRECTORY_ANSWERS_WITHIN).await?;
            stream.epoch
        }
    };
    Ok(Tree {
        slug: ask.slug,
        epoch,
        relays,
    })
}

fn tree_relay(carrier: &Carrier, origin: Option<&Carrier>) -> Option<TreeRelay> {
    let carried = carrier.carried.as_ref()?;
    Some(TreeRelay {
        node: carrier.node.uuid,
        media_url: carrier.node.media_url.clone(),
        provider: second_to_last(&carried.path),
        standby: carried.standby,
        hops: carrier.hops(),
        newest: carried.newest,
        viewers: carried.viewers,
        silent_ms: carried.progress.map(|progress| progress.silent_ms),
        behind_ms: origin.and_then(|origin| behind_ms(carrier, origin)),
        as_of: carrier.as_of,
    })
}
