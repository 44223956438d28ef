//! A real NATS or Redis on a free port.

use crate::{PATIENCE, eventually};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How often another port is tried if one is taken between choice and use.
const PORT_TRIES: usize = 10;
/// The default connection limit of NATS.
const NATS_CONNECTIONS_MAX: usize = 65_536;
/// The answer of Redis on success.
const OK: &[u8] = b"+OK\r\n";

#[derive(Clone, Copy)]
enum Kind {
    Nats,
    Redis,
}

/// A server process. It is killed when it is dropped, and keeps nothing over a restart.
pub struct Server {
    kind: Kind,
    port: u16,
    /// The password that it requires, if any.
    password: Option<String>,
    directory: PathBuf,
    child: Option<Child>,
}

impl Server {
    pub(super) async fn nats(directory: &Path, password: Option<&str>) -> Self {
        Self::start_somewhere(Kind::Nats, directory, password).await
    }

    /// Starts a Redis with its log in `directory`.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn redis(directory: &Path, password: Option<&str>) -> Self {
        Self::start_somewhere(Kind::Redis, directory, password).await
    }

    /// Returns its URL, with its password if it requires one.
    pub fn url(&self) -> String {
        self.url_with(self.password.as_deref())
    }

    /// Returns its URL with another password.
    pub fn url_with(&self, password: Option<&str>) -> String {
        let scheme = match self.kind {
            Kind::Nats => "nats",
            Kind::Redis => "redis",
        };
        let user =
            password.map(|password| format!("{}:{}@", self.user(), percent_encoded(password)));
        format!(
            "{scheme}://{}127.0.0.1:{}",
            user.unwrap_or_default(),
            self.port
        )
    }

    fn user(&self) -> &'static str {
        match self.kind {
            Kind::Nats => "astral",
            Kind::Redis => "default",
        }
    }

    /// Returns its log since its last start.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        let program = match self.kind {
            Kind::Nats => "nats-server",
            Kind::Redis => "redis-server",
        };
        self.directory.join(program).with_extension("log")
    }

    /// Returns the output of `redis-cli` for a command.
    ///
    /// # Panics
    /// If it does not run.
    pub fn redis_cli(&self, command: &[&str]) -> String {
        let mut redis_cli = Command::new("redis-cli");
        redis_cli.args(["-p", &self.port.to_string()]);
        if let Some(password) = &self.password {
            redis_cli.env("REDISCLI_AUTH", password);
        }
        let ran = redis_cli
            .args(command)
            .output()
            .expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
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

    /// Starts it again at the same address, empty.
    ///
    /// # Panics
    /// If its port has been taken.
    pub async fn restart(&mut self) {
        self.kill();
        assert!(self.start().await, "port {} is taken meanwhile", self.port);
    }

    /// Sets the connection limit of a NATS.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn limit_connections(&self, connections_max: usize) {
        self.configure(connections_max);
        signal(self.child.as_ref().expect("it runs"), "HUP");
    }

    /// Resets the connection limit of a NATS to its default.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn limits_connections_no_more(&self) {
        self.limit_connections(NATS_CONNECTIONS_MAX);
    }

    fn configure(&self, connections_max: usize) {
        let settings = format!("max_connections: {connections_max}\n");
        fs::write(self.settings_file(), settings).expect("a file in its directory");
    }

    fn settings_file(&self) -> PathBuf {
        self.log_file().with_extension("conf")
    }

    /// Freezes it. Its sockets stay open.
    pub fn freeze(&self) {
        signal(self.child.as_ref().expect("it runs"), "STOP");
    }

    /// Continues it.
    pub fn thaw(&self) {
        signal(self.child.as_ref().expect("it runs"), "CONT");
    }

    /// Empties a Redis.
    ///
    /// # Panics
    /// If it does not confirm.
    pub async fn flush(&self) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut answer = [0; OK.len()];
        let flushing = async {
            let mut socket = TcpStream::connect(address).await?;
            socket.write_all(b"*1\r\n$8\r\nFLUSHALL\r\n").await?;
            socket.read_exact(&mut answer).await
        };
        tokio::time::timeout(PATIENCE, flushing)
            .await
            .expect("Redis answers")
            .expect("Redis is there");
        assert_eq!(answer, OK);
    }

    async fn start_somewhere(kind: Kind, directory: &Path, password: Option<&str>) -> Self {
        for _ in 0..PORT_TRIES {
            let mut server = Self {
                kind,
                port: free_port(),
                password: password.map(str::to_owned),
                directory: directory.to_owned(),
                child: None,
            };
            if server.start().await {
                return server;
            }
        }
        panic!("no port stays free");
    }

    /// Returns whether it listens. Otherwise its port was taken.
    async fn start(&mut self) -> bool {
        let (program, ready) = match self.kind {
            Kind::Nats => ("nats-server", "Server is ready"),
            Kind::Redis => ("redis-server", "Ready to accept connections"),
        };
        let log = self.log_file();
        let child = self.command(program, &log).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{program}: {error}; `make setup` installs it"));
        self.child = Some(child);
        let child = std::cell::RefCell::new(self.child.as_mut().expect("it was just put there"));
        eventually(program, || async {
            let is_ready = fs::read_to_string(&log).unwrap_or_default().contains(ready);
            let ended = child
                .borrow_mut()
                .try_wait()
                .expect("it can be asked")
                .is_some();
            (is_ready || ended).then_some(is_ready && !ended)
        })
        .await
    }

    fn command(&self, program: &str, log: &Path) -> Command {
        let port = self.port.to_string();
        let log = File::create(log).expect("a log in its directory");
        // Debian installs nats-server where only the path of root leads.
        let only_for_root = Path::new("/usr/sbin").join(program);
        let found = if only_for_root.exists() {
            only_for_root
        } else {
            PathBuf::from(program)
        };
        let mut command = Command::new(found);
        match self.kind {
            Kind::Nats => {
                self.configure(NATS_CONNECTIONS_MAX);
                command
                    .args(["-a", "127.0.0.1", "-p", &port])
                    .arg("-c")
                    .arg(self.settings_file())
            }
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
        };
        match (self.kind, &self.password) {
            (Kind::Nats, Some(password)) => {
                command.args(["--user", self.user(), "--pass", password])
            }
            (Kind::Redis, Some(password)) => command.args(["--requirepass", password]),
            (_, None) => &mut command,
        };
        command.current_dir(&self.directory).stdin(Stdio::null());
        command
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns `text` with percent encoding.
fn percent_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// Sends the signal `name` to a process.
pub(super) fn signal(child: &Child, name: &str) {
    let told = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(
        told.expect("kill starts").success(),
        "process {} takes no signal {name}",
        child.id()
    );
}

/// Returns a port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
