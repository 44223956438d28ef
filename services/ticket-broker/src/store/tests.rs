mod carriers;
mod ledgers;
mod relays;

use super::carriers::candidate_id;
use super::*;
use crate::carrier::Carrier;
use crate::carrier::tests::carrier;
use crate::ledger::{Entry, Moment};
use astral_backend::Backend;
use astral_env::Env;
use astral_proto::message::{Heartbeat, RenewTickets};
use astral_proto::model::Role;
use astral_proto::{Kbps, Slug, TicketId, UnixMillis};
use std::sync::Arc;

fn store() -> Store {
    Store::new(Backend::local().state, &Env::system())
}

fn demo() -> Slug {
    "demo".parse().unwrap()
}

fn random<const N: usize>() -> [NodeId; N] {
    std::array::from_fn(|_| NodeId::random())
}

async fn report(store: &Store, carrier: Carrier) {
    let candidate = candidate_id(&carrier.node, carrier.carried.as_ref().unwrap());
    store
        .carriers
        .put(&carrier, candidate.as_deref())
        .await
        .unwrap();
}

fn heartbeat_with(limit_kbps: u32) -> Arc<RenewTickets> {
    let node = carrier(Role::Node, &random::<1>()).node;
    let heartbeat = Heartbeat {
        node: node.uuid,
        draining: false,
        limit_kbps: Kbps::new(limit_kbps),
        viewer_kbps: Kbps::ZERO,
        streams: vec![],
        serves: vec![],
        holds: vec![],
        rtts: vec![],
        generation: 1,
        sent_at: UnixMillis::new(1),
        notices: vec![],
        process: 0,
    };
    Arc::new(RenewTickets {
        heartbeat,
        node,
        rtts: vec![],
    })
}

const AT: Moment = Moment {
    now: UnixMillis::new(1_000),
    truce: false,
    generation: 1,
};

async fn offer(store: &Store, provider: NodeId) -> bool {
    let entry = Entry::offered(demo(), NodeId::random(), false, Kbps::new(2_500), 1, AT.now);
    store
        .ledgers
        .offer(TicketId::random(), &entry, provider, AT.now, false)
        .await
        .unwrap()
        .is_ok()
}
