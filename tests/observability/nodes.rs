//! What an operator sees of nodes that are not what they seem: two with one id, and one whose clock is wrong.

use crate::live::SLUG;
use astral_proto::NodeId;
use harness::processes::{Deployment, Program};
use harness::{Publisher, Viewer, eventually, http};

/// Waits until `program` has logged a line that holds all `words`.
async fn logs(program: &Program, words: &[&str]) {
    eventually(&format!("a line with {words:?}"), || async {
        let lines = program.logged();
        lines
            .iter()
            .map(ToString::to_string)
            .any(|line| words.iter().all(|word| line.contains(word)))
            .then_some(())
    })
    .await;
}

/// Goal: of two edges with one id the second is refused in words that help, the first stays, and the same edge after a crash
/// is taken at once. Method: both run; then the first is killed, and the second joins by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_edges_with_one_id_the_second_waits_until_the_first_is_gone() {
    let mut deployment = Deployment::start(1).await;
    let id = NodeId::random().to_string();
    let own = ["--uuid", &id, "--role", "supernode"];
    let first = deployment
        .add_edge_with("first", &own)
        .await
        .door("media")
        .to_string();
    deployment.add_edge_unready("second", &own);
    let second = deployment
        .program("second")
        .listens("media")
        .await
        .to_string();
    let words = [
        "the control plane refuses this node",
        &first,
        &second,
        "--uuid",
    ];
    logs(deployment.program("second"), &words).await;
    logs(
        deployment.program("supernode-coordinator-1"),
        &["a second node with the same id", &first, &second],
    )
    .await;
    let gateway = deployment.gateway();
    let advertised = || async {
        gateway
            .nodes()
            .await?
            .first()
            .map(|node| node.advertise.clone())
    };
    assert_eq!(advertised().await, Some(first));
    assert_eq!(
        deployment
            .program("second")
            .count_logged("the control plane refuses this node"),
        1
    );
    deployment.program("first").kill();
    deployment.program("second").is_ready().await;
    eventually("the second is listed", || async {
        advertised().await.filter(|at| *at == second)
    })
    .await;
    deployment.program("second").restart().await;
}

/// Goal: an origin whose clock is an hour off serves, and everybody is told. Method: such an origin feeds a leaf.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_that_is_an_hour_off_is_told_and_harms_nothing() {
    for clock in ["+3600s", "-3600s"] {
        let mut deployment = Deployment::start_with_clocks(1, &[("origin", clock)]).await;
        let rtmp = deployment
            .add_relay("origin", "supernode", &[])
            .await
            .door("rtmp");
        let media = deployment
            .add_relay("leaf", "node", &[])
            .await
            .door("media");
        let seconds = clock.trim_start_matches('+').trim_end_matches("00s");
        let words = [
            "the clock of a node differs",
            &format!("\"clock.ahead_seconds\":{seconds}")[..22],
        ];
        logs(deployment.program("supernode-coordinator-1"), &words).await;
        logs(
            deployment.program("origin"),
            &["this machine's clock is wrong", "NTP"],
        )
        .await;
        let ops = deployment.program("origin").door("ops");
        let metrics = http::get(ops, "/metrics").await.expect("metrics").text();
        let ahead = metrics
            .lines()
            .find_map(|line| line.strip_prefix("astral_clock_ahead_seconds "));
        let ahead: f64 = ahead.expect("it is measured").parse().expect("a number");
        assert!((ahead.abs() - 3_600.0).abs() < 10.0, "{ahead}");
        let _publisher = Publisher::start(rtmp, SLUG);
        deployment.gateway().lists_live(SLUG).await;
        Viewer::start(media, SLUG).sees_more(70).await;
    }
}
