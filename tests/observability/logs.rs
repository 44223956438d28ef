//! The log lines of a network that runs.

use crate::live::{Live, SLUG};
use astral_proto::NodeId;
use harness::processes::Program;
use serde_json::Value;

/// The relays of [`Live`].
const RELAYS: [&str; 3] = ["origin", "middle", "leaf"];

/// Goal: a program can read what an operator searches for. Method: streams flow and a relay dies; each line of each process
/// is one JSON object with each key once, and each line of a relay names the relay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_has_each_key_once_and_names_the_node_that_logs() {
    let mut live = Live::start().await;
    let middle = live.deployment.program("middle").node();
    let origin = live.deployment.program("origin").node();
    live.fail_over().await;
    for (name, program) in live.deployment.programs() {
        let malformed = program.malformed_lines();
        assert!(malformed.is_empty(), "{name} logs {malformed:#?}");
    }
    for name in RELAYS {
        names_itself(live.deployment.program(name));
    }
    let leaf = live.deployment.program("leaf");
    let failed_over = line(leaf, "failed over");
    assert_eq!(failed_over["stream.slug"], SLUG);
    assert_eq!(failed_over["provider.left"], middle.to_string());
    assert_eq!(failed_over["provider.id"], origin.to_string());
    assert_eq!(failed_over["failover.cause"], "closed");
    assert!(failed_over["failover.gap_ms"].is_u64(), "{failed_over}");
}

fn line(program: &Program, message: &str) -> Value {
    let lines = program.logged();
    let found = lines.iter().find(|line| line["message"] == message);
    found.unwrap_or_else(|| panic!("no {message:?} in {lines:#?}")).clone()
}

/// Every line from the first that has the id has that id and no other.
fn names_itself(program: &Program) {
    let node: NodeId = program.node();
    let lines = program.logged();
    let known = lines.iter().skip_while(|line| line.get("node.id").is_none());
    for line in known {
        assert_eq!(line["node.id"], node.to_string(), "{line}");
    }
}
