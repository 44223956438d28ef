//! Relay links between relays of different versions, with either as provider, and failovers from one version to the other.

use crate::version::Version;
use harness::Deployment;
use harness::chain::{Chain, Kind};

/// Starts the control services, the origin and a leaf in `version`, and the supernode between origin and leaf in the
/// other version. Kills the supernode once frames have come through it for longer than a lease.
async fn streams_through_a_supernode_of_the_other_version(version: Version, leaf: Kind) {
    let mut deployment = Deployment::start_from(&version.folder(), 1).await;
    deployment.start_program_from("middle", &version.other().folder());
    let mut chain = Chain::start_on(deployment, &[]).await;
    let leaf = chain.leaf_below("middle", leaf).await;
    chain.outlives_leases(&leaf).await;
    let killed = chain.node("middle");
    chain.deployment.program("middle").kill();
    chain.has_lost_nothing(&leaf).await;
    chain.is_given_up(killed).await;
    chain.is_shown_with(&leaf).await;
    chain.has_lost_nothing(&leaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_supernode_relays_between_an_old_origin_and_an_old_relay() {
    streams_through_a_supernode_of_the_other_version(Version::Previous, Kind::Relay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_supernode_relays_between_an_old_origin_and_an_old_astralnode() {
    streams_through_a_supernode_of_the_other_version(Version::Previous, Kind::Edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_supernode_relays_between_a_new_origin_and_a_new_relay() {
    streams_through_a_supernode_of_the_other_version(Version::This, Kind::Relay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_supernode_relays_between_a_new_origin_and_a_new_astralnode() {
    streams_through_a_supernode_of_the_other_version(Version::This, Kind::Edge).await;
}
