//! The log lines of a network that runs.

use crate::live::{Live, SLUG};
use astral_proto::NodeId;
use harness::http;
use harness::processes::{Deployment, Program};
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

/// Goal: an operator finds out who changed what. Method: a stream is made, changed in two ways and deleted over REST, once in
/// vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_over_rest_are_logged_with_who_and_what_and_never_a_key() {
    let mut deployment = Deployment::start(1).await;
    let gateway = deployment.gateway().0;
    for (method, path, body, status) in [
        (
            "POST",
            "/v1/streams",
            r#"{"slug":"demo","key":"hunter2"}"#,
            201,
        ),
        ("POST", "/v1/streams", r#"{"slug":"demo"}"#, 409),
        (
            "PUT",
            "/v1/streams/demo",
            r#"{"key":"hunter3","streaming":false}"#,
            200,
        ),
        ("DELETE", "/v1/streams/demo", "", 204),
        ("GET", "/v1/streams", "", 200),
    ] {
        let answer = http::send(gateway, method, path, body).await;
        assert_eq!(
            answer.map(|answer| answer.status),
            Some(status),
            "{method} {path} {body}"
        );
    }
    let program = deployment.program("rest-gateway-1");
    let lines = program.logged();
    let changes = lines
        .iter()
        .filter(|line| line["message"] == "changed over REST");
    let told = |line: &Value| {
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (field("stream.slug"), field("token")),
            (SLUG.to_owned(), "-".to_owned()),
            "{line}"
        );
        [field("operation"), field("what"), field("outcome")]
    };
    let told: Vec<_> = changes.map(told).collect();
    let expected = [
        ["createStream", "key", "done"],
        ["createStream", "", "conflict"],
        ["changeStream", "streaming=false, key", "done"],
        ["deleteStream", "", "done"],
    ];
    assert_eq!(told, expected.map(|change| change.map(str::to_owned)));
    assert!(!program.written().contains("hunter"));
}

fn line(program: &Program, message: &str) -> Value {
    let lines = program.logged();
    let found = lines.iter().find(|line| line["message"] == message);
    found
        .unwrap_or_else(|| panic!("no {message:?} in {lines:#?}"))
        .clone()
}

/// Every line from the first that has the id has that id and no other.
fn names_itself(program: &Program) {
    let node: NodeId = program.node();
    let lines = program.logged();
    let known = lines
        .iter()
        .skip_while(|line| line.get("node.id").is_none());
    for line in known {
        assert_eq!(line["node.id"], node.to_string(), "{line}");
    }
}
