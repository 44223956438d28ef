//! A real Prometheus.

use harness::eventually;
use serde_json::Value;
use std::fmt::Write;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How many this process has started, so that each has a directory of its own.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A process that scrapes, killed when dropped.
pub struct Prometheus {
    address: SocketAddr,
    directory: PathBuf,
    child: Child,
}

impl Prometheus {
    /// Scrapes `targets` once a second, and has the rules in the file `rules`.
    pub async fn start(targets: &[SocketAddr], rules: &Path) -> Self {
        let directory = std::env::temp_dir().join(format!(
            "astral-prometheus-{}-{}",
            std::process::id(),
            STARTED.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(&directory).expect("a directory in the temporary directory");
        let config = directory.join("prometheus.yml");
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules:?}]\n\
             scrape_configs: [{{job_name: astral, static_configs: [{{targets: {targets:?}}}]}}]\n"
        );
        fs::write(&config, text).expect("its configuration");
        let address = free_address();
        let log = File::create(directory.join("log")).expect("its log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts; `make setup` installs it");
        let prometheus = Self {
            address,
            directory,
            child,
        };
        eventually("Prometheus is ready", || async {
            prometheus
                .get("/-/ready")
                .await
                .filter(|answer| answer.contains("Ready"))
        })
        .await;
        prometheus
    }

    /// What it answers to a query now.
    ///
    /// # Panics
    /// If it says that the query is none.
    pub async fn query(&self, query: &str) -> Option<Vec<Value>> {
        let answer = self
            .get(&format!("/api/v1/query?query={}", encoded(query)))
            .await?;
        let answer: Value = serde_json::from_str(&answer).ok()?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned()
    }

    /// Its rules, each with what became of it.
    pub async fn rules(&self) -> Option<Vec<Value>> {
        let answer: Value = serde_json::from_str(&self.get("/api/v1/rules").await?).ok()?;
        let groups = answer["data"]["groups"].as_array()?.clone();
        Some(
            groups
                .iter()
                .filter_map(|group| group["rules"].as_array())
                .flatten()
                .cloned()
                .collect(),
        )
    }

    /// The body; HTTP/1.0, so that it comes in one piece.
    async fn get(&self, path: &str) -> Option<String> {
        let mut socket = TcpStream::connect(self.address).await.ok()?;
        socket
            .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
            .await
            .ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.ok()?;
        answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound")
}

fn encoded(query: &str) -> String {
    query.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes any text"),
        }
        encoded
    })
}
