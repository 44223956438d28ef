//! The program as it is started. That it is run here makes cargo build it along with the tests, for those that start
//! whole deployments.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::process::Command;

fn refusal(arguments: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_astral-directory");
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
fn a_bus_of_no_known_kind_stops_the_program_with_the_flag_s_name() {
    let said = refusal(&["--bus-url", "smoke://signals"]);
    assert!(said.contains("--bus-url"), "{said}");
}

#[test]
fn a_file_of_streams_that_is_no_good_stops_the_program_with_its_name_and_that_of_the_entry() {
    let file = std::env::temp_dir().join(format!("astral-streams-{}.toml", std::process::id()));
    std::fs::write(&file, "[[stream]]\nslug = \"demo\"\ncolour = \"red\"\n").unwrap();
    let named = format!("--streams-file {}", file.display());
    let said = refusal(&["--streams-file", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    assert!(
        said.contains(&format!(
            "{named}: stream 1 (\"demo\"): unknown field `colour`"
        )),
        "{said}"
    );
    assert!(refusal(&["--streams-file", file.to_str().unwrap()]).contains(&named));
}
