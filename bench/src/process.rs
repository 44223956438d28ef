//! Servers as processes of their own, and what they cost by the operating system's account.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// Servers run here, this process on the next.
const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";
const BOTH_CORES: &str = "0,1";
/// A server that does not listen by then has failed.
const START_WAIT: Duration = Duration::from_secs(20);
/// More than any measurement sends, so that capacity refuses no viewer.
const UPSTREAM_LIMIT_KBPS: &str = "10000000";
const PAGE_BYTES: f64 = 4096.0;

/// Builds the programs that are measured, so that they are those of this source.
///
/// # Errors
/// If it does not build.
pub fn build(packages: &[&str]) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--quiet", "--release"]);
    packages.iter().for_each(|package| {
        build.args(["--package", package]);
    });
    let status = build.status().context("cargo does not start")?;
    ensure!(status.success(), "{packages:?} do not build");
    Ok(())
}

fn beside_this(program: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(program))
}

fn has_two_cores() -> bool {
    Path::new("/sys/devices/system/cpu/cpu1").exists()
}

/// Keeps this process off the servers' core, where there are two.
pub fn take_client_core() {
    let own = std::process::id().to_string();
    let pinned = has_two_cores()
        && std::process::Command::new("taskset")
            .args(["-acp", CLIENT_CORE, &own])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !pinned {
        eprintln!("servers and clients share the cores: ratios will be rougher");
    }
}

/// A server; killed when dropped.
pub struct Server {
    child: Child,
}

impl Server {
    fn spawn(program: &Path, args: &[&str], output: Stdio, errors: Stdio) -> Result<Self> {
        Self::spawn_on(SERVER_CORE, program, args, output, errors)
    }

    /// A program found by its name, on whatever core is free.
    ///
    /// # Errors
    /// If it does not start.
    pub fn anywhere(program: &str, args: &[&str]) -> Result<Self> {
        Self::spawn_on(
            BOTH_CORES,
            Path::new(program),
            args,
            Stdio::null(),
            Stdio::null(),
        )
    }

    /// A program of this source, on whatever core is free.
    ///
    /// # Errors
    /// If it does not start.
    pub fn anywhere_beside_this(program: &str, args: &[&str]) -> Result<Self> {
        Self::spawn_on(
            BOTH_CORES,
            &beside_this(program)?,
            args,
            Stdio::null(),
            Stdio::null(),
        )
    }

    fn spawn_on(
        cores: &str,
        program: &Path,
        args: &[&str],
        output: Stdio,
        errors: Stdio,
    ) -> Result<Self> {
        let mut command = match has_two_cores() {
            true => Command::new("taskset"),
            false => Command::new(program),
        };
        if has_two_cores() {
            command.args(["-c", cores]).arg(program);
        }
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        Ok(Self { child })
    }

    fn proc(&self, file: &str) -> Result<PathBuf> {
        let id = self.child.id().context("the server has ended")?;
        Ok(Path::new("/proc").join(id.to_string()).join(file))
    }

    /// Seconds it has run on a CPU, the kernel's work for it included, to the nanosecond.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let mut nanoseconds = 0;
        for task in std::fs::read_dir(self.proc("task")?)? {
            // A thread may end between the two.
            let Ok(figures) = std::fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            nanoseconds += figures
                .split_whitespace()
                .next()
                .unwrap_or("0")
                .parse::<u64>()?;
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// If it has ended.
    pub fn resident_bytes(&self) -> Result<f64> {
        let figures = std::fs::read_to_string(self.proc("statm")?)?;
        let pages: f64 = figures.split_whitespace().nth(1).unwrap_or("0").parse()?;
        Ok(pages * PAGE_BYTES)
    }
}

/// A bare loop, and where it takes connections.
///
/// # Errors
/// If it does not start.
pub async fn bare_loop(file: &Path, frames: usize) -> Result<(Server, SocketAddr)> {
    let frames = frames.to_string();
    own_command(&["bare-loop", "--frames", &frames], file).await
}

/// A loop that answers every HTTP request with the bytes of a file, and where it takes connections.
///
/// # Errors
/// If it does not start.
pub async fn answer_loop(file: &Path) -> Result<(Server, SocketAddr)> {
    own_command(&["answer-loop"], file).await
}

/// A hidden command of this program, which prints the address where it listens.
async fn own_command(command: &[&str], file: &Path) -> Result<(Server, SocketAddr)> {
    let file = file
        .to_str()
        .context("the temporary directory has a name that is not text")?;
    let args = [command, &["--file", file]].concat();
    let program = std::env::current_exe()?;
    let mut server = Server::spawn(&program, &args, Stdio::piped(), Stdio::inherit())?;
    let output = server
        .child
        .stdout
        .take()
        .context("standard output is piped")?;
    let line = first_line(output).await?;
    Ok((server, line.parse()?))
}

async fn first_line(output: impl AsyncRead + Unpin) -> Result<String> {
    let mut lines = BufReader::new(output).lines();
    timeout(START_WAIT, lines.next_line())
        .await??
        .context("the server ended at once")
}

/// A whole network in one process, and its doors.
pub struct Network {
    /// Its process.
    pub server: Server,
    /// Where `/readyz` is.
    pub ops: SocketAddr,
    rtmp: Vec<SocketAddr>,
    media: Vec<SocketAddr>,
}

impl Network {
    /// Starts `astral up` with so many relays, on free ports, and waits for its doors.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(relays: usize) -> Result<Self> {
        Self::start_on(relays, &[]).await
    }

    /// The same on a bus and a state that are there.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_on(relays: usize, addresses: &[String]) -> Result<Self> {
        let relays = relays.to_string();
        let free = "127.0.0.1:0";
        let mut args = vec![
            "up",
            "--relays",
            &relays,
            "--log-format",
            "json",
            "--log-level",
            "info",
        ];
        args.extend(["--upstream-limit", UPSTREAM_LIMIT_KBPS]);
        args.extend(addresses.iter().map(String::as_str));
        for door in [
            "--http-listen",
            "--media-listen",
            "--rtmp-listen",
            "--ops-listen",
        ] {
            args.extend([door, free]);
        }
        let mut server = Server::spawn(
            &beside_this("astral")?,
            &args,
            Stdio::null(),
            Stdio::piped(),
        )?;
        let log = server
            .child
            .stderr
            .take()
            .context("standard error is piped")?;
        let mut doors = Doors::default();
        let log = timeout(START_WAIT, doors.read(log))
            .await
            .context("astral up opens no doors")??;
        tokio::spawn(discard(log));
        let ops = doors.ops.context("ops is not listening")?;
        Ok(Self {
            server,
            ops,
            rtmp: doors.rtmp,
            media: doors.media,
        })
    }

    /// Where relay `number`, from 1, takes publishers.
    pub fn rtmp(&self, number: usize) -> SocketAddr {
        self.rtmp[number - 1]
    }

    /// Where relay `number`, from 1, serves viewers.
    pub fn media(&self, number: usize) -> SocketAddr {
        self.media[number - 1]
    }
}

type Log = tokio::io::Lines<BufReader<ChildStderr>>;

#[derive(Default)]
struct Doors {
    ops: Option<SocketAddr>,
    rtmp: Vec<SocketAddr>,
    media: Vec<SocketAddr>,
}

impl Doors {
    /// Reads the log up to the gateway's door, which is the last to open.
    async fn read(&mut self, log: ChildStderr) -> Result<Log> {
        let mut lines = BufReader::new(log).lines();
        while let Some(line) = lines.next_line().await? {
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                bail!("astral up says: {line}")
            };
            let address = event["address"]
                .as_str()
                .and_then(|address| address.parse().ok());
            match (event["door"].as_str(), address) {
                (Some("ops"), address) => self.ops = address,
                (Some("rtmp"), address) => self.rtmp.extend(address),
                (Some("media"), address) => self.media.extend(address),
                (Some("http"), _) => return Ok(lines),
                _ => {}
            }
        }
        bail!("astral up ended")
    }
}

/// Keeps the pipe from filling up; warnings are shown.
async fn discard(mut log: Log) {
    while let Ok(Some(line)) = log.next_line().await {
        if line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#) {
            eprintln!("{line}");
        }
    }
}
