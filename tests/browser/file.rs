//! Serves what a relay has served as a file: video on demand with the same bytes.

use harness::conformance::Seen;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longest request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 8 << 10;

type Files = HashMap<String, Vec<u8>>;

/// Serves the segments of `seen` with the multivariant playlist `index`. Returns the address of
/// `/index.m3u8`, which is served until the test ends.
pub async fn serve(seen: &Seen, index: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it has an address");
    let files = Arc::new(files(seen, index));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, files.clone()));
        }
    });
    address
}

fn files(seen: &Seen, index: Vec<u8>) -> Files {
    let mut files: Files = seen.sections.clone().into_iter().collect();
    for segment in &seen.segments {
        files.insert(segment.uri.clone(), segment.bytes.clone());
    }
    files.insert("index.m3u8".into(), index);
    files.insert("media.m3u8".into(), playlist(seen).into_bytes());
    files
}

/// The media playlist of a file with all segments.
fn playlist(seen: &Seen) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:VOD\n",
        seen.playlist.target_duration
    );
    let mut map = None;
    for (index, segment) in seen.segments.iter().enumerate() {
        if segment.discontinuity && index > 0 {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if map.replace(&segment.map) != Some(&segment.map) {
            writeln!(text, "#EXT-X-MAP:URI=\"{}\"", segment.map).expect("a string");
        }
        let seconds = segment.duration as f64 / 1e6;
        writeln!(text, "#EXTINF:{seconds:.5},\n{}", segment.uri).expect("a string");
    }
    text + "#EXT-X-ENDLIST\n"
}

/// Answers one request and closes the connection.
async fn answer(mut socket: TcpStream, files: Arc<Files>) {
    let mut request = vec![0; REQUEST_BYTES_MAX];
    let length = socket.read(&mut request).await.unwrap_or(0);
    let head = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let name = path.trim_start_matches('/').split('?').next();
    let file = name.and_then(|name| files.get(name));
    let status = if file.is_some() {
        "200 OK"
    } else {
        "404 Not Found"
    };
    let body = file.map(Vec::as_slice).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nAccess-Control-Allow-Origin: *\r\n\
         Content-Type: {}\r\nConnection: close\r\n\r\n",
        body.len(),
        if path.contains(".m3u8") {
            "application/vnd.apple.mpegurl"
        } else {
            "video/mp4"
        }
    );
    // A player may have gone away.
    drop(socket.write_all(&[head.as_bytes(), body].concat()).await);
}
