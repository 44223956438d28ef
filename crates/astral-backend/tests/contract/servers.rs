//! NATS and Redis, started for one test on free ports and gone after it.

use astral_backend::{Backend, Config};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a server may take to start, on a machine with much to do.
const START_WAIT: Duration = Duration::from_secs(20);
/// Between two looks at whether something has come true.
const LOOK: Duration = Duration::from_millis(10);

/// Both servers and a backend on them.
pub async fn start() -> ((Server, Server), Backend) {
    let servers = tokio::join!(Server::nats(&[]), Server::redis(&[]));
    let backend = connect(&servers.0, &servers.1).await;
    (servers, backend)
}

/// A backend on `nats` and `redis`.
pub async fn connect(nats: &Server, redis: &Server) -> Backend {
    connect_to(nats.url(""), redis.url("")).await
}

/// A backend on what is, or will be, at these URLs.
pub async fn connect_to(bus_url: String, state_url: String) -> Backend {
    let config = Config {
        bus_url: bus_url.into(),
        state_url: state_url.into(),
    };
    Backend::connect(&config).await.unwrap()
}

/// Waits until something has come true.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(LOOK).await;
        }
    };
    timeout(START_WAIT, waiting)
        .await
        .unwrap_or_else(|_| panic!("not within {START_WAIT:?}: {what}"));
}

/// One server process, killed and swept away when dropped.
pub struct Server {
    kind: Kind,
    extra: Vec<String>,
    port: u16,
    directory: PathBuf,
    child: Option<Child>,
}

#[derive(Clone, Copy)]
enum Kind {
    Nats,
    Redis,
    /// Of the master at this port, by the name `main`.
    Sentinel(u16),
}

impl Server {
    /// In `extra`, `{port}` stands for the port that it gets.
    pub async fn nats(extra: &[&str]) -> Self {
        Self::start_somewhere(Kind::Nats, extra).await
    }

    pub async fn redis(extra: &[&str]) -> Self {
        Self::start_somewhere(Kind::Redis, extra).await
    }

    /// Alone in its judgement: `master` is given up after a second.
    pub async fn sentinel(master: &Server) -> Self {
        Self::start_somewhere(Kind::Sentinel(master.port), &[]).await
    }

    /// Where it keeps its files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub async fn nats_at(port: u16) -> Self {
        Self::start_at(Kind::Nats, port).await
    }

    pub async fn redis_at(port: u16) -> Self {
        Self::start_at(Kind::Redis, port).await
    }

    /// Where it is; `user` is empty or ends in `@`.
    pub fn url(&self, user: &str) -> String {
        let scheme = match self.kind {
            Kind::Nats => "nats",
            Kind::Redis => "redis",
            Kind::Sentinel(_) => {
                return format!("redis+sentinel://{user}127.0.0.1:{}/main", self.port);
            }
        };
        format!("{scheme}://{user}127.0.0.1:{}", self.port)
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) {
        self.kill();
        assert!(self.start().await, "port {} is taken meanwhile", self.port);
    }

    /// Kills it as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Freezes it, sockets open; it answers nothing any more once this returns.
    pub fn freeze(&self) {
        self.signal("-STOP");
        // The signal is on its way: a thread on another core may yet answer.
        let threads = format!("/proc/{}/task", self.child.as_ref().unwrap().id());
        while !all_stopped(&threads).unwrap_or(true) {
            std::thread::yield_now();
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    async fn start_somewhere(kind: Kind, extra: &[&str]) -> Self {
        // Another test may take a port between its choice and its use.
        for _ in 0..10 {
            let mut server = Self::stopped(kind, extra, free_port());
            if server.start().await {
                return server;
            }
        }
        panic!("no port stays free");
    }

    async fn start_at(kind: Kind, port: u16) -> Self {
        let mut server = Self::stopped(kind, &[], port);
        server.restart().await;
        server
    }

    fn stopped(kind: Kind, extra: &[&str], port: u16) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "astral-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let extra = extra.iter().map(|&arg| arg.to_owned()).collect();
        Self {
            kind,
            extra,
            port,
            directory,
            child: None,
        }
    }

    /// Whether it listens now; otherwise its port was taken.
    async fn start(&mut self) -> bool {
        let log = self.directory.join("log");
        let (program, ready) = match self.kind {
            Kind::Nats => ("nats-server", "Server is ready"),
            Kind::Redis => ("redis-server", "Ready to accept connections"),
            Kind::Sentinel(_) => ("redis-server", "+monitor master"),
        };
        let child = self.command(program, &log).spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{program}: {error}: run deploy/setup.sh"));
        let mut is_ready = false;
        eventually(program, async || {
            is_ready = fs::read_to_string(&log).unwrap().contains(ready);
            is_ready || child.try_wait().unwrap().is_some()
        })
        .await;
        self.child = Some(child);
        is_ready
    }

    fn command(&self, program: &str, log: &Path) -> Command {
        let port = self.port.to_string();
        let log = File::create(log).unwrap();
        // Debian keeps nats-server where only root looks.
        let only_for_root = Path::new("/usr/sbin").join(program);
        let mut command = if only_for_root.exists() {
            Command::new(only_for_root)
        } else {
            Command::new(program)
        };
        match self.kind {
            Kind::Nats => command.args(["-a", "127.0.0.1", "-p", &port]),
            Kind::Redis => command.args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port,
                "--save",
                "",
                "--appendonly",
                "no",
            ]),
            Kind::Sentinel(master) => {
                let config = format!(
                    "bind 127.0.0.1\nport {port}\nsentinel monitor main 127.0.0.1 {master} 1\n\
                     sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
                );
                fs::write(self.directory.join("sentinel.conf"), config).unwrap();
                command.args(["sentinel.conf", "--sentinel"])
            }
        };
        command
            .args(self.extra.iter().map(|arg| arg.replace("{port}", &port)))
            .current_dir(&self.directory);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// What `redis-cli` prints for a command.
pub fn redis_cli(port: u16, arguments: &[&str]) -> String {
    let ran = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(arguments)
        .output();
    String::from_utf8(ran.expect("redis-cli comes with redis-server").stdout).unwrap()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Whether all threads of a process stand still; none where there is no such folder to tell.
fn all_stopped(threads: &str) -> Option<bool> {
    let mut stopped = true;
    for thread in fs::read_dir(threads).ok()? {
        let stat = fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
        // The state stands behind the name, which is in brackets.
        stopped &= stat.rsplit(") ").next()?.starts_with('T');
    }
    Some(stopped)
}
