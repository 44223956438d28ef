//! Control services are killed, one replica at a time and then all at once.

use astral_proto::NodeId;
use astral_proto::model::TicketState;
use harness::chain::{Chain, SLUG};
use harness::processes::CONTROL;
use harness::{Gateway, eventually};

/// Provider, subscriber, and whether the ticket is a standby.
type Link = (NodeId, NodeId, bool);

/// What relays state that they hold; none while the tree is not shown.
async fn held(gateway: Gateway) -> Option<Vec<Link>> {
    let tree = gateway.tree(SLUG).await?;
    let pulled = tree
        .iter()
        .filter_map(|relay| Some((relay.provider?, relay.node, false)));
    let standing_by = tree
        .iter()
        .filter_map(|relay| Some((relay.standby?, relay.node, true)));
    let mut held: Vec<Link> = pulled.chain(standing_by).collect();
    held.sort();
    Some(held)
}

/// What the ledgers have; none while they are not shown, or a ticket is still on offer.
async fn listed(gateway: Gateway) -> Option<Vec<Link>> {
    let tickets = gateway.tickets(SLUG).await?;
    let offered = tickets
        .iter()
        .any(|ticket| !ticket.standby && ticket.state == TicketState::Offered);
    let links = tickets
        .iter()
        .map(|ticket| (ticket.provider, ticket.subscriber, ticket.standby));
    let mut listed: Vec<Link> = links.collect();
    listed.sort();
    (!offered).then_some(listed)
}

/// Waits until the ledgers have exactly what relays hold, and each of `leaves` holds a ticket and a standby.
pub async fn ledgers_agree_with_relays(chain: &mut Chain, leaves: &[NodeId]) {
    let gateway = chain.gateway();
    eventually("the ledgers have what relays hold", || async {
        let held = held(gateway).await?;
        let listed = listed(gateway).await?;
        let holds = |leaf: &NodeId| {
            held.iter()
                .filter(|(_, subscriber, _)| subscriber == leaf)
                .count()
        };
        (held == listed && leaves.iter().all(|leaf| holds(leaf) == 2)).then_some(())
    })
    .await;
}

async fn services_are_killed_one_by_one_and_all_at_once() {
    let mut chain = Chain::start(2, &[]).await;
    let leaf = chain.leaf_below_the_middle().await;
    for service in CONTROL {
        chain.deployment.program(&format!("{service}-1")).kill();
        chain.has_lost_nothing(&leaf).await;
    }
    chain.is_shown_with(&leaf).await;
    let late = chain.leaf().await;
    chain.has_lost_nothing(&late).await;

    chain.deployment.kill_control();
    chain.has_lost_nothing(&leaf).await;
    // The standby is in hand: nobody needs to be asked.
    chain.deployment.program("middle").kill();
    chain.has_lost_nothing(&leaf).await;
    chain.has_lost_nothing(&late).await;

    chain.deployment.restart_control().await;
    chain.deployment.program("middle").restart().await;
    chain.is_shown_with(&leaf).await;
    ledgers_agree_with_relays(&mut chain, &[leaf.node]).await;
    let new = chain.leaf().await;
    for leaf in [&leaf, &late, &new] {
        chain.has_lost_nothing(leaf).await;
    }
}

async fn all_but_relays_is_lost_with_its_memory() {
    let mut chain = Chain::start(1, &[]).await;
    let leaf = chain.leaf_below_the_middle().await;
    chain.deployment.kill_control();
    chain.deployment.nats.kill();
    chain.deployment.redis.kill();
    chain.outlives_leases(&leaf).await;
    chain.deployment.nats.restart().await;
    chain.deployment.redis.restart().await;
    chain.deployment.restart_control().await;
    chain.is_whole_again(&leaf).await;
    // What the leaf holds was signed by a key that is lost, or is new.
    chain.deployment.program("middle").kill();
    chain.outlives_leases(&leaf).await;
}

/// Two networks side by side, for most of this is waiting.
#[tokio::test(flavor = "multi_thread")]
async fn control_services_that_are_killed_cost_no_frame() {
    tokio::join!(
        services_are_killed_one_by_one_and_all_at_once(),
        all_but_relays_is_lost_with_its_memory()
    );
}
