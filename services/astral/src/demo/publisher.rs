//! The publisher of the demo: ffmpeg with a test picture that shows the time.

use anyhow::Context as _;
use std::net::SocketAddr;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// The time of day, drawn into the picture.
const CLOCK: &str = "drawtext=text='%{localtime}':fontsize=h/9:x=(w-tw)/2:y=h*0.74:fontcolor=white:box=1:\
                     boxcolor=black@0.6:boxborderw=18";
const ENCODING: &str = "-c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -b:v 2500k -maxrate 2500k \
                        -bufsize 2500k -g 60 -c:a aac -b:a 128k -f flv";

/// ffmpeg, which ends when this is dropped.
pub struct Publisher {
    ffmpeg: Child,
}

impl Publisher {
    /// Publishes `slug` to the RTMP listener at `rtmp`.
    ///
    /// # Errors
    /// ffmpeg cannot be started.
    pub async fn start(rtmp: SocketAddr, slug: &str) -> anyhow::Result<Self> {
        let clock = if draws_text().await { CLOCK } else { "null" };
        let picture = format!(
            "testsrc2=size=1280x720:rate={},{clock}",
            super::viewer::PICTURES_PER_SECOND
        );
        let mut command = Command::new("ffmpeg");
        command.args(["-loglevel", "fatal", "-re", "-f", "lavfi", "-i", &picture]);
        command.args(["-f", "lavfi", "-i", "sine=frequency=330"]);
        command.args(ENCODING.split_whitespace());
        command.arg(format!("rtmp://{rtmp}/live/{slug}"));
        let ffmpeg = command.stdin(Stdio::null()).kill_on_drop(true).spawn();
        let missing = "ffmpeg, which publishes for the demo, cannot be started: install it, or run make setup";
        Ok(Self {
            ffmpeg: ffmpeg.context(missing)?,
        })
    }

    /// Waits until ffmpeg ends, which it does only if something is wrong.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.ffmpeg.wait().await {
            Ok(status) => {
                anyhow::anyhow!("ffmpeg, which publishes for the demo, has ended: {status}")
            }
            Err(error) => error.into(),
        }
    }
}

/// Whether this ffmpeg can draw text, for which it needs a font.
async fn draws_text() -> bool {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-loglevel", "quiet", "-f", "lavfi", "-i"])
        .arg(format!("color,{CLOCK}"));
    command
        .args(["-frames:v", "1", "-f", "null", "-"])
        .stdin(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}
