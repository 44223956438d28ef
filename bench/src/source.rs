//! The programme: 20 s of a 2.5 Mbit/s 30 fps H.264 and AAC stream, made once by ffmpeg and repeated for ever.

use anyhow::{Context, Result, ensure};
use astral_media::flv::{FlvReader, TYPE_DATA, Tag};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SECONDS: u64 = 20;
const FFMPEG: &str = "-hide_banner -loglevel error -y -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine \
                      -t 20 -c:v libx264 -preset veryfast -bf 0 -g 60 -keyint_min 60 -sc_threshold 0 \
                      -b:v 2.4M -minrate 2.4M -maxrate 2.4M -bufsize 2.4M -nal-hrd cbr -pix_fmt yuv420p \
                      -c:a aac -b:a 100k -f flv";

/// Its length, after which it begins again.
pub const DURATION: Duration = Duration::from_secs(SECONDS);

/// The file, made if it is not there.
///
/// # Errors
/// If ffmpeg is missing or fails.
pub fn file() -> Result<PathBuf> {
    let path = std::env::temp_dir().join("astral-bench-v1.flv");
    if !path.exists() {
        let partial = path.with_extension("partial");
        let made = Command::new("ffmpeg")
            .args(FFMPEG.split_whitespace())
            .arg(&partial)
            .status();
        ensure!(
            made.context("ffmpeg does not start; `make setup` installs it")?
                .success(),
            "ffmpeg failed"
        );
        std::fs::rename(&partial, &path)?;
    }
    Ok(path)
}

/// The tags of `path`, without metadata.
///
/// # Errors
/// If the file is not what [`file()`] makes.
pub fn tags(path: &Path) -> Result<Vec<Tag>> {
    let mut reader = FlvReader::new();
    let mut tags = Vec::new();
    for piece in std::fs::read(path)?.chunks(1 << 20) {
        reader.push(piece)?;
        while let Some(tag) = reader.next_tag()? {
            tags.push(tag);
        }
    }
    tags.retain(|tag| tag.tag_type != TYPE_DATA);
    ensure!(
        tags.len() > 60,
        "{} holds {} tags only",
        path.display(),
        tags.len()
    );
    Ok(tags)
}
