//! Starts the program. Because this test needs it, cargo builds the program together with the
//! tests. Tests that start whole deployments rely on that.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn a_bus_of_no_known_kind_stops_the_program_with_the_flag_s_name() {
    let program = env!("CARGO_BIN_EXE_astral-ticket-broker");
    let output = Command::new(program)
        .args(["--bus-url", "smoke://signals"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--bus-url"), "{said}");
}

#[test]
fn a_broker_that_waits_for_its_state_stops_when_it_is_told_to() {
    let flags = [
        "--bus-url",
        "local",
        "--state-url",
        "redis://127.0.0.1:1",
        "--ops-listen",
        "127.0.0.1:0",
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_astral-ticket-broker"));
    let mut broker = command.args(flags).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(broker.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(said.any(|line| line.contains("waiting for the state")));
    let told = Command::new("kill")
        .args(["-TERM", &broker.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    let rest: Vec<String> = said.collect();
    assert_eq!(broker.wait().unwrap().code(), Some(0), "{rest:?}");
}
