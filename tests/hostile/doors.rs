//! Connections that come and go.

use crate::house::{SLUG, house};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn two_hundred_connections_that_close_at_once_are_no_failures() {
    let house = house();
    for door in [
        house.cluster.rtmp(1),
        house.cluster.media(1),
        house.cluster.http(),
    ] {
        for number in 0..200 {
            let socket = TcpStream::connect(door).await.expect("the door is open");
            if number % 2 == 1 {
                // A reset in place of a goodbye.
                socket.set_zero_linger().expect("the option exists");
            }
        }
    }
    house.is_unharmed().await;
    assert_eq!(
        (
            house.failures("rtmp", "io").await,
            house.failures("media", "io").await
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn viewers_that_hang_up_are_no_failures() {
    let house = house();
    for number in 0..20 {
        let mut viewer = TcpStream::connect(house.cluster.media(1))
            .await
            .expect("the door is open");
        let request = format!("GET /live/{SLUG}.flv HTTP/1.1\r\nHost: relay\r\n\r\n");
        viewer
            .write_all(request.as_bytes())
            .await
            .expect("it is taken");
        let mut some = vec![0; 2000];
        viewer
            .read_exact(&mut some)
            .await
            .expect("the stream comes");
        if number % 2 == 1 {
            viewer.set_zero_linger().expect("the option exists");
        }
    }
    let gone = async || {
        let viewers = house.stream(SLUG).await["viewers"]["flv"].as_u64();
        viewers.filter(|viewers| *viewers == 2)
    };
    harness::eventually("only the two that watch are counted", gone).await;
    assert_eq!(house.failures("media", "io").await, 0);
}
