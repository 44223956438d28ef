//! The program as it is started. That it is run here makes cargo build it along with the tests, for
//! those that start whole deployments.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::process::Command;

#[test]
fn a_bus_of_no_known_kind_stops_the_program_with_the_flag_s_name() {
    let program = env!("CARGO_BIN_EXE_astral-media-forwarder");
    let output = Command::new(program)
        .args(["--bus-url", "smoke://signals"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--bus-url"), "{said}");
}
