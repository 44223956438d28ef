use super::*;
use astral_proto::Code;
use astral_proto::NodeId;
use serde_json::Value;

fn gone(events: &Events) -> NodeId {
    let uuid = NodeId::random();
    events.tell(Happening::NodeGone { uuid });
    uuid
}

fn read(told: &Told) -> Value {
    serde_json::from_str(&told.json).unwrap()
}

#[tokio::test]
async fn a_listener_hears_that_events_begin_and_then_all_that_comes() {
    let events = Arc::new(Events::default());
    gone(&events);
    let mut listener = events.listen(None).unwrap();
    assert_eq!(read(&listener.next().await.unwrap())["type"], "ready");
    let uuid = gone(&events);
    let told = listener.next().await.unwrap();
    assert_eq!(
        (&read(&told)["type"], &read(&told)["uuid"]),
        (&"node.gone".into(), &uuid.to_string().into())
    );
    assert_eq!(read(&told)["id"], *told.id);
}

#[tokio::test]
async fn a_listener_that_comes_back_hears_what_came_meanwhile() {
    let events = Arc::new(Events::default());
    let mut listener = events.listen(None).unwrap();
    let last = listener.next().await.unwrap().id.clone();
    drop(listener);
    let missed = [gone(&events), gone(&events)];
    let mut back = events.listen(Some(&last)).unwrap();
    for uuid in missed {
        assert_eq!(read(&back.next().await.unwrap())["uuid"], uuid.to_string());
    }
}

#[tokio::test]
async fn one_who_comes_back_too_late_or_from_another_gateway_is_told_so() {
    let events = Arc::new(Events::default());
    let first = events
        .listen(None)
        .unwrap()
        .next()
        .await
        .unwrap()
        .id
        .clone();
    for _ in 0..=EVENTS_MAX {
        gone(&events);
    }
    let ahead = format!("{}-{}", events.gateway, u64::MAX);
    for last in [&first, "other-1", "", "nonsense", &ahead] {
        let mut back = events.listen(Some(last)).unwrap();
        assert_eq!(
            read(&back.next().await.unwrap())["type"],
            "missed",
            "{last}"
        );
        let uuid = gone(&events);
        assert_eq!(read(&back.next().await.unwrap())["uuid"], uuid.to_string());
    }
}

#[tokio::test]
async fn a_slow_listener_is_let_go_and_what_is_kept_stays_bounded() {
    let events = Arc::new(Events::default());
    let mut slow = events.listen(None).unwrap();
    slow.next().await.unwrap();
    for _ in 0..=EVENTS_MAX {
        gone(&events);
    }
    assert!(slow.next().await.is_none());
    let ring = events.ring();
    assert_eq!(ring.events.len(), EVENTS_MAX);
    assert_eq!(
        ring.bytes,
        ring.events
            .iter()
            .map(|told| told.json.len())
            .sum::<usize>()
    );
}

#[tokio::test]
async fn so_many_may_listen_and_no_more() {
    let events = Arc::new(Events::default());
    let all: Vec<_> = (0..LISTENERS_MAX)
        .map(|_| events.listen(None).unwrap())
        .collect();
    assert_eq!(events.listen(None).err().unwrap().code(), Code::Full);
    drop(all);
    assert!(events.listen(None).is_ok());
}
