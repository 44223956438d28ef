//! What many bad connections cost together.

use crate::house::house;
use harness::Rtmp;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Bad connections held open at once.
const CONNECTIONS: usize = 200;
/// Most that they may add to the memory of the process: 320 kB each, far below the 8 MiB that each one announces.
const GROWTH_BYTES_MAX: u64 = 64 << 20;
/// Message type of video.
const VIDEO: u8 = 9;

/// Bytes of memory this process has resident.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("it has a resident size");
    let kib: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("it is a number");
    kib << 10
}

#[tokio::test]
async fn connections_that_announce_much_and_send_little_cost_little() {
    let house = house();
    let before = resident_bytes();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Rtmp::connect(house.cluster.rtmp(1)).await;
        client.message(6, VIDEO, 8 << 20, &[0; 4096]).await;
        held.push(client.socket);
        let mut asking = TcpStream::connect(house.cluster.media(1))
            .await
            .expect("the door is open");
        asking
            .write_all(&[&b"GET / HTTP/1.1\r\nX: "[..], &[b'x'; 7000]].concat())
            .await
            .expect("it is taken");
        held.push(asking);
    }
    house.is_unharmed().await;
    let growth = resident_bytes().saturating_sub(before);
    assert!(
        growth < GROWTH_BYTES_MAX,
        "{} connections took {growth} bytes",
        held.len()
    );
}

#[tokio::test]
async fn names_that_nobody_has_published_leave_nothing_behind() {
    let house = house();
    let asking = (0..300).map(|number| async move {
        let target = format!("/live/nobody-{number}.flv");
        crate::wire::get(house.cluster.media(2), &target, "")
            .await
            .is_problem(404, "not_found");
    });
    for ask in asking {
        ask.await;
    }
    let nodes = house.json("/v1/streams?limit=1000").await;
    let known = nodes["items"].as_array().expect("a list");
    let none = known
        .iter()
        .all(|stream| !stream["slug"].as_str().unwrap_or("").starts_with("nobody-"));
    assert!(none, "a stream was made by being asked for: {nodes}");
    house.is_unharmed().await;
}
