//! `astral` as a user starts it.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, Stdio};

/// `astral up` on free ports; killed when the test is over.
struct Up {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Up {
    fn start(flags: &[&str]) -> Self {
        let doors = ["ops", "http", "media", "rtmp"].map(|door| format!("--{door}-listen=127.0.0.1:0"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_astral"));
        let mut child = command.arg("up").args(doors).args(flags).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    fn logs(&mut self, text: &str) {
        assert!(
            self.log.by_ref().map(Result::unwrap).any(|line| line.contains(text)),
            "no {text:?} in the log"
        );
    }

    fn terminate(&self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Reads the log to its end and returns the exit code.
    fn exit_code(&mut self) -> Option<i32> {
        self.log.by_ref().for_each(drop);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn up_stops_at_the_first_signal_while_it_waits_for_a_state_that_is_away() {
    let mut up = Up::start(&["--state-url", "redis://127.0.0.1:1"]);
    up.logs("waiting for the state");
    up.terminate();
    assert_eq!(up.exit_code(), Some(0));
}
