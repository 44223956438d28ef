use super::*;
use crate::testing::relay;
use tokio::io::DuplexStream;
use tokio::time::Instant;

/// Sends `bytes` one by one, each `pause` after the last, and then stays.
async fn drip(mut peer: DuplexStream, bytes: &[u8], pause: Duration) -> std::convert::Infallible {
    for byte in bytes {
        drop(peer.write_all(&[*byte]).await);
        tokio::time::sleep(pause).await;
    }
    std::future::pending().await
}

/// How a connection ends whose peer drips `bytes`, and after how long.
async fn ended(bytes: &[u8], pause: Duration) -> (&'static str, Duration) {
    let (relay, begun) = (relay(), Instant::now());
    let (peer, socket) = tokio::io::duplex(8 << 10);
    let outcome = tokio::select! {
        outcome = serve(&relay, socket) => outcome,
        never = drip(peer, bytes, pause) => match never {},
    };
    (outcome.expect_err("it is given up").reason(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_drips_is_given_up_as_soon_as_one_that_stops() {
    let handshake = [&[3][..], &[0; 2 * 1536]].concat();
    for pause in [Duration::from_millis(100), Duration::from_secs(3), Duration::from_secs(60)] {
        let (reason, after) = ended(&handshake, pause).await;
        assert_eq!(reason, "slow", "{pause:?}");
        assert!(after <= OPENING_WAIT + Duration::from_secs(1), "{pause:?} took {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_after_its_handshake_is_given_up() {
    let (reason, after) = ended(&[&[3][..], &[0; 2 * 1536]].concat(), Duration::ZERO).await;
    assert_eq!(reason, "slow");
    assert!(after <= OPENING_WAIT + Duration::from_secs(1), "{after:?}");
}
