//! `astral` as a user starts it.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, Stdio};

/// `astral` on free ports; killed when the test is over.
struct Astral {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Astral {
    fn start(command: &str, flags: &[&str]) -> Self {
        let doors =
            ["ops", "http", "media", "rtmp"].map(|door| format!("--{door}-listen=127.0.0.1:0"));
        let mut program = Command::new(env!("CARGO_BIN_EXE_astral"));
        program
            .arg(command)
            .args(doors)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    fn logs(&mut self, text: &str) {
        assert!(
            self.log
                .by_ref()
                .map(Result::unwrap)
                .any(|line| line.contains(text)),
            "no {text:?} in the log"
        );
    }

    fn signal(&self, name: &str) {
        let told = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(told.success());
    }

    /// Reads the log to its end and returns the exit code.
    fn exit_code(&mut self) -> Option<i32> {
        self.log.by_ref().for_each(drop);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Astral {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn up_stops_at_the_first_signal_while_it_waits_for_a_state_that_is_away() {
    let mut up = Astral::start("up", &["--state-url", "redis://127.0.0.1:1"]);
    up.logs("waiting for the state");
    up.signal("TERM");
    assert_eq!(up.exit_code(), Some(0));
}

#[test]
fn the_demo_shows_that_a_viewer_below_a_relay_that_is_cut_off_loses_no_picture() {
    let mut demo = Astral::start("demo", &["--log-level=warn"]);
    let story = BufReader::new(demo.child.stdout.take().unwrap());
    let mut lines = story.lines().map(Result::unwrap);
    let mut reads = |text: &str| lines.by_ref().find(|line| line.contains(text)).unwrap();
    assert!(reads("/watch/demo?prefer=").contains("http://127.0.0.1:"));
    reads("relay 2 is cut off for 5 s");
    let healed = reads("relay 3 gets the stream from relay 1 now");
    assert!(healed.contains(" 0 of "), "{healed}");
    demo.signal("INT");
    assert_eq!(demo.exit_code(), Some(0));
}
