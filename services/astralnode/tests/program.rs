//! The program as it is started. That it is run here makes cargo build it along with the tests, for
//! those that start whole deployments.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::process::Command;

fn refusal(arguments: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_astralnode");
    let output = Command::new(program)
        .args(["--ops-listen", "127.0.0.1:0"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

#[test]
fn a_node_without_a_gateway_to_join_by_says_what_to_give_it() {
    let said = refusal(&[]);
    assert!(
        said.contains("--join is missing: name the gateway to join by"),
        "{said}"
    );
}

#[test]
fn a_control_door_that_strangers_reach_is_refused() {
    let said = refusal(&[
        "--join",
        "http://127.0.0.1:1",
        "--control-listen",
        "0.0.0.0:0",
    ]);
    assert!(
        said.contains("--control-listen 0.0.0.0:0 is beyond loopback"),
        "{said}"
    );
}

#[test]
fn a_port_that_another_program_has_is_named_with_its_flag_and_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let others = [
        "--join=http://127.0.0.1:1",
        "--media-listen=127.0.0.1:0",
        "--rtmp-listen=127.0.0.1:0",
    ];
    for flag in ["--media-listen", "--rtmp-listen", "--control-listen"] {
        let given = format!("{flag}={address}");
        let kept = others
            .iter()
            .copied()
            .filter(|other| !other.starts_with(flag));
        let arguments: Vec<&str> = kept.chain([given.as_str()]).collect();
        let said = refusal(&arguments);
        assert!(
            said.contains(&format!(
                "{flag} {address} cannot be opened: another program"
            )),
            "{said}"
        );
    }
}
