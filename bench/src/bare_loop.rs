//! The floor: one thread that writes the same bytes at the same pace to every connection, one system call each.

use crate::source;
use anyhow::Result;
use astral_media::flv::{TYPE_VIDEO, Tag};
use bytes::{BufMut, BytesMut};
use socket2::SockRef;
use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes of a tag beside its body: its head and what follows it.
const TAG_BYTES: usize = 15;
/// What the kernel may hold unsent for one viewer: as much as the relay allows.
const SEND_BUFFER_BYTES: usize = 512 << 10;

/// What the loop writes.
#[derive(clap::Args)]
pub struct Args {
    /// An FLV file, repeated for ever
    #[arg(long)]
    file: PathBuf,
    /// Video frames in one write
    #[arg(long)]
    frames: usize,
}

struct Piece {
    due: Duration,
    bytes: Vec<u8>,
}

/// Prints where it listens, then writes until it is killed.
///
/// # Errors
/// If the file cannot be read or no port be had.
pub fn run(args: &Args) -> Result<()> {
    let pieces = pieces(&source::tags(&args.file)?, args.frames);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let mut viewers = Vec::new();
    let begun = Instant::now();
    for round in 0.. {
        for piece in &pieces {
            let due = begun + source::DURATION * round + piece.due;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            take_viewers(&listener, &mut viewers)?;
            viewers.retain_mut(|viewer| write(viewer, &piece.bytes));
        }
    }
    Ok(())
}

/// The file cut behind every `frames`th video frame; sound rides along.
fn pieces(tags: &[Tag], frames: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut bytes = BytesMut::new();
    let mut pictures = 0;
    for tag in tags {
        bytes.put_bytes(tag.tag_type, TAG_BYTES);
        bytes.put_slice(&tag.body);
        pictures += usize::from(tag.tag_type == TYPE_VIDEO);
        if pictures == frames {
            let due = Duration::from_millis(tag.timestamp_ms.into());
            pieces.push(Piece {
                due,
                bytes: bytes.split().to_vec(),
            });
            pictures = 0;
        }
    }
    pieces
}

fn take_viewers(listener: &TcpListener, viewers: &mut Vec<TcpStream>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((viewer, _)) => {
                viewer.set_nonblocking(true)?;
                viewer.set_nodelay(true)?;
                SockRef::from(&viewer).set_send_buffer_size(SEND_BUFFER_BYTES)?;
                viewers.push(viewer);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Whether the viewer is still there. One that takes nothing just misses bytes: the loop knows no frames.
fn write(viewer: &mut TcpStream, bytes: &[u8]) -> bool {
    let gone = |error: io::Error| error.kind() != ErrorKind::WouldBlock;
    !viewer.write(bytes).is_err_and(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tag_type: u8, timestamp_ms: u32) -> Tag {
        Tag {
            tag_type,
            timestamp_ms,
            body: vec![0; 10].into(),
        }
    }

    #[test]
    fn sound_rides_along_with_the_picture_that_follows() {
        let tags = [tag(8, 0), tag(9, 0), tag(8, 23), tag(9, 33), tag(9, 66)];
        let lengths = |frames| {
            pieces(&tags, frames)
                .iter()
                .map(|p| p.bytes.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths(1), [50, 50, 25]);
        assert_eq!(lengths(3), [125]);
        assert_eq!(pieces(&tags, 3)[0].due, Duration::from_millis(66));
    }
}
