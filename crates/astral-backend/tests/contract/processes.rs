//! What holds between two processes, which share nothing but NATS and Redis.

use super::bus::{Double, WITHIN, serve_double};
use super::servers::{connect, start};
use super::state::{get, put};
use astral_proto::Code;
use tokio::time::timeout;

const EVENTS: &str = "astral.event.test.processes";

#[tokio::test]
async fn subscription_is_in_effect_for_all_once_it_is_made() {
    let ((nats, redis), one) = start().await;
    let other = connect(&nats, &redis).await;
    for number in 0..200 {
        let mut events = one.bus.subscribe::<u32>(EVENTS, None).await.unwrap();
        other.bus.publish(EVENTS, &number).await.unwrap();
        assert_eq!(timeout(WITHIN, events.next()).await, Ok(Some(number)));
    }
}

#[tokio::test]
async fn one_process_serves_another() {
    let ((nats, redis), one) = start().await;
    let other = connect(&nats, &redis).await;
    serve_double(&other).await;
    assert_eq!(
        one.bus.request(&Double { number: 21 }, WITHIN).await,
        Ok(42)
    );
    let problem = one
        .bus
        .request(&Double { number: u32::MAX }, WITHIN)
        .await
        .unwrap_err();
    assert_eq!(
        (problem.code, problem.detail.as_str()),
        (Code::Full, "4294967295 is over 2147483647")
    );
}

#[tokio::test]
async fn what_one_process_puts_another_reads() {
    let ((nats, redis), one) = start().await;
    let other = connect(&nats, &redis).await;
    put(&one.state, "a", 1, None).await;
    assert_eq!(get(&other.state, "a").await, Some(1));
    assert_eq!(other.state.remove("tests", "a").await, Ok(true));
    assert_eq!(get(&one.state, "a").await, None);
}
