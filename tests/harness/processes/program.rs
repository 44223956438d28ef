//! One process of a service.

use super::unique::Unique;
use crate::{eventually, http};
use astral_proto::NodeId;
use serde_json::Value;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Prefixes of the environment variables that could change settings.
const VARIABLES: [&str; 2] = ["ASTRAL_", "OTEL_"];
/// Listeners that any process may have.
const DOORS: [&str; 5] = ["ops", "http", "media", "rtmp", "control"];

/// The only program that is not called `astral-SERVICE`.
pub(super) const EDGE: &str = "astralnode";

/// How a process ended after it was told to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// How long it took.
    pub took: Duration,
}

/// A process. It is killed when it is dropped. Its addresses and its log are those of its last
/// start.
pub struct Program {
    service: String,
    executable: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    /// The error of its clock, in the syntax of `faketime`.
    clock: Option<&'static str>,
    log: PathBuf,
    starts: u32,
    child: Option<Child>,
}

impl Program {
    /// Starts the program of `service` in `folder` with `flags`, all its doors on free ports; its
    /// log is named after it.
    pub(super) fn spawn(
        name: &str,
        service: &str,
        folder: &Path,
        flags: &[&str],
        variables: &[(String, String)],
        clock: Option<&'static str>,
        directory: &Path,
    ) -> Self {
        let doors =
            doors(service).flat_map(|door| [format!("--{door}-listen"), "127.0.0.1:0".to_owned()]);
        let format = ["--log-format", "json"];
        let flags = flags.iter().chain(&format).map(|&flag| flag.to_owned());
        let arguments = flags.chain(doors).collect();
        let executable = executable(folder, service);
        let variables = variables.to_vec();
        let log = directory.join(name);
        let mut program = Self {
            service: service.to_owned(),
            executable,
            arguments,
            variables,
            clock,
            log,
            starts: 0,
            child: None,
        };
        program.start();
        program
    }

    fn start(&mut self) {
        self.starts += 1;
        let log = File::create(self.log_file()).expect("a log in the temporary directory");
        let mut command = self.command();
        for (name, _) in std::env::vars().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().cloned());
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().expect("a program that is there starts"));
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        if let Some(clock) = self.clock {
            // Durations stay correct.
            command
                .env("LD_PRELOAD", faketime())
                .env("FAKETIME", clock)
                .env("DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    fn log_file(&self) -> PathBuf {
        self.log.with_extension(format!("{}.log", self.starts))
    }

    /// Returns the log lines of the last start, without an incomplete last one.
    pub fn logged(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.log_file()).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Returns everything that the last start has written.
    pub fn written(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Returns the lines of the last start that are not a JSON object with unique keys.
    pub fn malformed_lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log_file()).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let is_malformed = |line: &&str| serde_json::from_str::<Unique>(line).is_err();
        whole
            .lines()
            .filter(is_malformed)
            .map(str::to_owned)
            .collect()
    }

    /// Returns how often the last start has logged `message`.
    pub fn count_logged(&self, message: &str) -> usize {
        self.logged()
            .iter()
            .filter(|line| line["message"] == message)
            .count()
    }

    fn try_door(&self, door: &str) -> Option<SocketAddr> {
        let logged = self.logged();
        let listening = logged
            .iter()
            .find(|line| line["message"] == "listening" && line["door"] == door)?;
        listening["address"].as_str()?.parse().ok()
    }

    /// Returns the address of the listener `door`: `ops`, `http`, `media`, `rtmp` or `control`.
    ///
    /// # Panics
    /// If it has not logged one.
    pub fn door(&self, door: &str) -> SocketAddr {
        let log = self.log_file();
        self.try_door(door)
            .unwrap_or_else(|| panic!("no door {door} in {}", log.display()))
    }

    /// Waits until `door` listens.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn listens(&self, door: &str) -> SocketAddr {
        eventually(&format!("door {door} listens"), async || {
            self.try_door(door)
        })
        .await
    }

    /// Returns the id with which a relay has registered.
    ///
    /// # Panics
    /// If it has not registered.
    pub fn node(&self) -> NodeId {
        let logged = self.logged();
        let registered = logged.iter().find(|line| line["message"] == "registered");
        let node = registered
            .and_then(|line| line["node.id"].as_str())
            .expect("the relay has registered");
        node.parse().expect("a node's id")
    }

    /// Waits until it is ready. A relay is ready once it has registered.
    ///
    /// # Panics
    /// If it ends or does not become ready.
    pub async fn is_ready(&mut self) {
        let what = format!("{} is ready", self.log_file().display());
        let this = std::cell::RefCell::new(self);
        eventually(&what, || async {
            let ended = !this.borrow_mut().runs();
            assert!(
                !ended,
                "it has ended: {}",
                fs::read_to_string(this.borrow().log_file()).unwrap_or_default()
            );
            let ops = this.borrow().try_door("ops")?;
            let answer = http::get(ops, "/readyz").await?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Returns whether it runs.
    ///
    /// # Panics
    /// If its state cannot be read.
    pub fn runs(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| child.try_wait().expect("it can be asked").is_none())
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it can be waited for");
        }
    }

    /// Freezes it. Its sockets stay open.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Continues it.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Sends SIGTERM and waits until it ends.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn terminate(&mut self) -> Stopped {
        let since = Instant::now();
        self.signal("TERM");
        let child = std::cell::RefCell::new(self.child.take().expect("it runs"));
        let ends = eventually("a process ends once told", || async {
            child.borrow_mut().try_wait().expect("it can be waited for")
        });
        Stopped {
            code: ends.await.code(),
            took: since.elapsed(),
        }
    }

    /// Starts it again with the same flags on other ports, and waits until it is ready. A running
    /// process is killed first.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn restart(&mut self) {
        self.kill();
        self.start();
        self.is_ready().await;
    }

    /// Tells it to stop, waits until it has, and starts the same service from the programs in
    /// `folder`, with the same flags on other ports. Waits until that is ready; returns how the old
    /// process ended.
    ///
    /// # Panics
    /// If the old process does not end, or the new one does not become ready.
    pub async fn replace_from(&mut self, folder: &Path) -> Stopped {
        let stopped = self.terminate().await;
        self.executable = executable(folder, &self.service);
        self.restart().await;
        stopped
    }

    fn signal(&self, name: &str) {
        super::server::signal(self.child.as_ref().expect("it runs"), name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Path of the library of `faketime`. Its program would be a process between the test and the
/// service, and would take its signals.
fn faketime() -> String {
    let told = Command::new("faketime")
        .args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"])
        .output();
    let told = told.expect("faketime starts; `make setup` installs it");
    String::from_utf8_lossy(&told.stdout).trim().to_owned()
}

fn is_setting(variable: &str) -> bool {
    VARIABLES.iter().any(|prefix| variable.starts_with(prefix))
}

/// Returns the listeners of a service.
fn doors(service: &str) -> impl Iterator<Item = &'static str> {
    let wanted: &[&str] = match service {
        "rest-gateway" => &DOORS[..2],
        "media-forwarder" => &["ops", "media", "rtmp"],
        EDGE => &["ops", "media", "rtmp", "control"],
        _ => &DOORS[..1],
    };
    DOORS.into_iter().filter(move |door| wanted.contains(door))
}

/// Where cargo puts the programs of this version: beside the folder of the tests' own.
///
/// # Panics
/// If the test was not built by cargo.
pub fn built_folder() -> PathBuf {
    let tests = std::env::current_exe().expect("this test has a path");
    let built = tests.parent().and_then(Path::parent);
    built.expect("it is in target/debug/deps").to_owned()
}

fn executable(folder: &Path, service: &str) -> PathBuf {
    let program = if service == EDGE {
        EDGE.to_owned()
    } else {
        format!("astral-{service}")
    };
    let executable = folder.join(&program);
    assert!(
        executable.exists(),
        "{} is missing: cargo build --bins --package {program}",
        executable.display()
    );
    executable
}
