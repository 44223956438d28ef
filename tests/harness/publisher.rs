//! A real ffmpeg that publishes a moving test picture and a tone.

use std::net::SocketAddr;
use std::process::Stdio;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// Small pictures, 30 per second.
pub const PICTURES: &str = "-f lavfi -i testsrc2=size=320x180:rate=30";
/// A tone.
pub const TONE: &str = "-f lavfi -i sine -c:a aac";
/// H.264 without delay and with a keyframe each second.
pub const CODED: &str = "-c:v libx264 -preset ultrafast -tune zerolatency -g 30";

/// A publisher. It is killed when it is dropped.
pub struct Publisher {
    child: Child,
}

impl Publisher {
    /// Publishes `slug` to the relay at `rtmp`: 30 small pictures per second, a keyframe each
    /// second, and a tone.
    ///
    /// # Panics
    /// If ffmpeg is missing.
    pub fn start(rtmp: SocketAddr, slug: &str) -> Self {
        Self::start_with(rtmp, slug, &format!("{PICTURES} {TONE} {CODED}"))
    }

    /// Publishes what ffmpeg makes with `arguments`.
    ///
    /// # Panics
    /// If ffmpeg is missing.
    pub fn start_with(rtmp: SocketAddr, slug: &str, arguments: &str) -> Self {
        Self::start_at(&format!("rtmp://{rtmp}/live/{slug}"), arguments)
    }

    /// Publishes to any address.
    ///
    /// # Panics
    /// If ffmpeg is missing.
    pub fn start_at(address: &str, arguments: &str) -> Self {
        let child = Command::new("ffmpeg")
            .args("-hide_banner -loglevel error -re".split_whitespace())
            .args(arguments.split_whitespace())
            .args(["-f", "flv", address])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("ffmpeg starts; `make setup` installs it");
        Self { child }
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("ffmpeg can be killed");
    }

    /// Freezes it. Its connection stays open but sends nothing.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub async fn freeze(&self) {
        let id = self.child.id().expect("it runs").to_string();
        let told = Command::new("kill")
            .args(["-STOP", &id])
            .status()
            .await
            .expect("kill starts");
        assert!(told.success());
    }

    /// Returns whether it has ended by itself.
    ///
    /// # Panics
    /// If its state cannot be read.
    pub fn has_given_up(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    /// Waits until it ends by itself. Returns what it printed.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn gives_up(mut self) -> String {
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("it is piped");
        let ends = async {
            drop(stderr.read_to_string(&mut said).await);
            self.child.wait().await
        };
        let ended = tokio::time::timeout(crate::PATIENCE, ends)
            .await
            .expect("the publisher gives up");
        assert!(
            !ended.expect("it can be waited for").success(),
            "the publisher thinks that all went well"
        );
        said
    }
}
