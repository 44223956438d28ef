//! A real ffmpeg that publishes a moving test pattern and a tone.

use std::net::SocketAddr;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A publisher; killed when dropped.
pub struct Publisher {
    child: Child,
}

impl Publisher {
    /// Publishes `slug` to the relay at `rtmp`: small pictures, 30 a second, a keyframe each second, and a tone.
    ///
    /// # Panics
    /// If there is no ffmpeg.
    pub fn start(rtmp: SocketAddr, slug: &str) -> Self {
        let url = format!("rtmp://{rtmp}/live/{slug}");
        let arguments = "-hide_banner -loglevel error -re -f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine \
                         -c:v libx264 -preset ultrafast -tune zerolatency -g 30 -c:a aac -f flv";
        let child = Command::new("ffmpeg")
            .args(arguments.split_whitespace())
            .arg(url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("ffmpeg starts; `make setup` installs it");
        Self { child }
    }

    /// Kills it without a goodbye.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("ffmpeg can be killed");
    }
}
