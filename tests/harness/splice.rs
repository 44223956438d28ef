//! Joins FLV files, for a publish whose parameters change on the way. No camera does that on
//! request.

use astral_media::flv::{FlvReader, TYPE_DATA, Tag};
use std::path::Path;
use tokio::process::Command;

/// The head of an FLV file with audio and video, and the size of the tag before the first.
const FILE_HEAD: [u8; 13] = [b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0];
/// Time between the last frame of one file and the first of the next, milliseconds.
const BETWEEN_MS: u32 = 40;

/// Makes an FLV file at `path` that consists of `parts`, one after the other. Each part is made by
/// ffmpeg with these arguments.
///
/// # Panics
/// If ffmpeg makes nothing, or the file cannot be written.
pub async fn write(path: &Path, parts: &[&str]) {
    let mut file = FILE_HEAD.to_vec();
    let mut from_ms = 0;
    for (index, part) in parts.iter().enumerate() {
        let mut end_ms = from_ms;
        for tag in tags(part).await {
            let repeated_metadata = index > 0 && tag.tag_type == TYPE_DATA;
            if !repeated_metadata {
                let at_ms = from_ms + tag.timestamp_ms;
                end_ms = end_ms.max(at_ms);
                put(&mut file, &tag, at_ms);
            }
        }
        from_ms = end_ms + BETWEEN_MS;
    }
    std::fs::write(path, file).expect("the file can be written");
}

/// Returns the tags of the FLV that ffmpeg makes with `arguments`.
///
/// # Panics
/// If ffmpeg makes none.
pub async fn tags(arguments: &str) -> Vec<Tag> {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error"])
        .args(arguments.split_whitespace())
        .args(["-f", "flv", "-"]);
    let made = command
        .kill_on_drop(true)
        .output()
        .await
        .expect("ffmpeg starts");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let mut reader = FlvReader::new();
    let mut tags = Vec::new();
    for piece in made.stdout.chunks(64 << 10) {
        reader.push(piece).expect("ffmpeg makes FLV");
        while let Some(tag) = reader.next_tag().expect("ffmpeg makes FLV") {
            tags.push(tag);
        }
    }
    tags
}

fn put(file: &mut Vec<u8>, tag: &Tag, at_ms: u32) {
    let before = file.len();
    let size = (tag.body.len() as u32).to_be_bytes();
    let [high, time @ ..] = at_ms.to_be_bytes();
    file.push(tag.tag_type);
    file.extend_from_slice(&size[1..]);
    file.extend_from_slice(&time);
    file.extend_from_slice(&[high, 0, 0, 0]);
    file.extend_from_slice(&tag.body);
    let total = (file.len() - before) as u32;
    file.extend_from_slice(&total.to_be_bytes());
}
