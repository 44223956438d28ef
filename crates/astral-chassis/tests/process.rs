//! A whole process, seen from outside: exit codes, signals, its doors.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

/// The example `drain`, which cargo builds along with the tests.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let example = tests
        .parent()
        .unwrap()
        .with_file_name("examples")
        .join("drain");
    assert!(
        example.exists(),
        "{} is missing: cargo build --example drain",
        example.display()
    );
    example
}

fn drain() -> Command {
    let mut command = Command::new(example());
    command
        .args(["--ops-listen", "127.0.0.1:0", "--log-format", "json"])
        .stderr(Stdio::piped());
    command
}

/// A process that is killed when the test is over, however it ends.
struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Running {
    fn start(flags: &[&str]) -> Self {
        let mut child = drain().args(flags).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// Reads log lines until one has this message.
    fn logs(&mut self, message: &str) -> serde_json::Value {
        self.logs_where(message, |said| said == message)
    }

    /// Reads log lines until a message starts like this.
    fn logs_with(&mut self, start: &str) -> serde_json::Value {
        self.logs_where(start, |said| said.starts_with(start))
    }

    fn logs_where(&mut self, wanted: &str, is_wanted: impl Fn(&str) -> bool) -> serde_json::Value {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            assert!(
                self.log.read_line(&mut seen).unwrap() > 0,
                "no {wanted:?} in:\n{seen}"
            );
            let line: serde_json::Value = serde_json::from_str(&seen[start..]).unwrap();
            if line["message"].as_str().is_some_and(&is_wanted) {
                return line;
            }
        }
    }

    fn ops_address(&mut self) -> String {
        let line = self.logs("listening");
        assert_eq!(line["door"], "ops");
        // A signal that comes before the start has begun would end the process without it.
        self.logs("working");
        line["address"].as_str().unwrap().to_owned()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    response
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn either_signal_drains_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let mut running = Running::start(&[]);
        running.ops_address();
        running.signal(signal);
        running.logs("finishing the work in hand");
        assert_eq!(running.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn a_second_signal_exits_with_1_at_once() {
    let mut running = Running::start(&["--linger", "--shutdown-grace-seconds", "3600"]);
    running.ops_address();
    running.signal("TERM");
    running.logs("finishing the work in hand");
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(1));
}

#[test]
fn a_drain_says_what_it_waits_for_and_how_to_stop_at_once() {
    let mut running = Running::start(&["--linger", "--shutdown-grace-seconds", "3600"]);
    running.ops_address();
    running.signal("INT");
    running
        .logs_with("draining for up to 3600 s; a second signal (Ctrl-C) stops the process at once");
    running.logs_with("draining: waiting for 1 guest;");
}

#[test]
fn a_signal_ends_a_start_that_waits_for_something() {
    let mut running = Running::start(&["--hang"]);
    running.ops_address();
    running.signal("TERM");
    running.logs("finishing the work in hand");
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn a_drain_past_its_deadline_exits_with_1() {
    let mut running = Running::start(&["--linger", "--shutdown-grace-seconds", "0"]);
    running.ops_address();
    running.signal("TERM");
    running.logs("tasks outlived the drain deadline");
    assert_eq!(running.exit_code(), Some(1));
}

#[test]
fn the_end_of_a_critical_task_exits_with_1() {
    let mut running = Running::start(&["--fail"]);
    assert_eq!(
        running.logs("a task that the process needs has ended")["task"],
        "work"
    );
    assert_eq!(running.exit_code(), Some(1));
}

#[test]
fn a_draining_process_is_alive_and_not_ready() {
    let mut running = Running::start(&["--linger"]);
    let address = running.ops_address();
    running.signal("TERM");
    running.logs("finishing the work in hand");
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200 "));
    let readyz = get(&address, "/readyz");
    assert!(
        readyz.starts_with("HTTP/1.1 503 ") && readyz.contains("draining"),
        "{readyz}"
    );
}

#[test]
fn bad_flags_variables_and_files_exit_with_2_and_their_name() {
    let directory = std::env::temp_dir().join(format!("astral-chassis-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("astral.toml");
    std::fs::write(&file, "colour = 'blue'").unwrap();
    let path = file.to_str().unwrap();
    for (command, said) in [
        (drain().arg("--colour=blue"), "--colour"),
        (
            drain().env("ASTRAL_SHUTDOWN_GRACE_SECONDS", "soon"),
            "invalid value 'soon' for '--shutdown-grace-seconds",
        ),
        (
            drain().args(["--settings", path]),
            "astral.toml: unknown setting colour = \"blue\"",
        ),
        (drain().arg(format!("-s{path}")), "unknown setting colour"),
        (
            drain().env("ASTRAL_SETTINGS", path),
            "unknown setting colour",
        ),
        (
            drain().args(["-s", "/nowhere.toml"]),
            "settings file /nowhere.toml cannot be read",
        ),
    ] {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(
            stderr(&output).contains(said),
            "{command:?}: {}",
            stderr(&output)
        );
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_port_that_is_taken_is_named_and_exits_with_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(example())
        .args(["--ops-listen", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn help_says_what_the_settings_are_and_exits_with_0() {
    let output = drain().arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for named in [
        "Usage: drain",
        "--ops-listen",
        "ASTRAL_OPS_LISTEN",
        "-s, --settings",
        "--shutdown-grace-seconds",
    ] {
        assert!(help.contains(named), "{named} in {help}");
    }
}
