use super::*;

fn demo() -> Slug {
    "demo".parse().unwrap()
}

fn origin(epoch: u64) -> Origin {
    Origin {
        incarnation: Incarnation::default(),
        epoch,
        progress: TimelineProgress {
            end_dts: 0,
            discontinuity: 0,
            target_duration_seconds: None,
            newest: astral_proto::FrameId::default(),
        },
        last_media: Instant::now(),
        last_media_at: 0,
        has_publisher: true,
    }
}

fn refused() -> Problem {
    Problem::new(Code::NotFound, "there is no such stream")
}

/// A feed in each state that somebody can meet, by name.
fn each_state() -> Vec<(&'static str, Feed)> {
    let mut published = Feed::Idle;
    published.start_publish(&demo(), origin(1), false).unwrap();
    let mut pulled = Feed::Idle;
    pulled.start_pull(&demo()).unwrap();
    vec![
        ("idle", Feed::Idle),
        ("origin", published),
        ("pulling", pulled),
        ("refused", Feed::Refused(refused())),
        ("ended", Feed::Ended(refused())),
        ("kept out", Feed::KeptOut),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_pull_starts_only_where_nobody_feeds_and_the_host_allows_it() {
    for (name, mut feed) in each_state() {
        let started = feed.start_pull(&demo()).map(|started| started.is_some());
        let expected = match name {
            "idle" | "refused" | "ended" => Ok(true),
            "origin" | "pulling" => Ok(false),
            _ => Err(Code::Unavailable),
        };
        assert_eq!(started.map_err(|problem| problem.code), expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_takes_over_from_everything_but_another_publisher_and_the_host() {
    for (name, mut feed) in each_state() {
        let started = feed.start_publish(&demo(), origin(2), false);
        let expected = match name {
            "origin" => Err(Code::Conflict),
            "kept out" => Err(Code::Unavailable),
            _ => Ok(matches!(name, "refused" | "ended")),
        };
        let starts_over = started.map(|started| started.starts_over);
        assert_eq!(
            starts_over.map_err(|problem| problem.code),
            expected,
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_publisher_is_replaced_and_told_why() {
    let mut feed = Feed::Idle;
    let first = feed.start_publish(&demo(), origin(1), false).unwrap();
    tokio::time::advance(PUBLISHER_ALIVE).await;
    let second = feed.start_publish(&demo(), origin(2), false).unwrap();
    assert!(second.replaces_origin && !second.token.is_revoked());
    assert!(first.token.is_revoked());
    assert_eq!(first.token.reason(), FenceReason::TakenOver);
    assert!(!feed.update_origin(&first.token, |origin| origin.epoch = 9));
    assert_eq!(feed.origin().map(|origin| origin.epoch), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_fence_turns_a_lower_epoch_into_a_pull_that_viewers_follow_on() {
    let mut feed = Feed::Idle;
    let publish = feed.start_publish(&demo(), origin(3), false).unwrap();
    feed.flow(&publish.token);
    assert!(feed.fence(3, FenceReason::Paused, false).is_none());
    let pull = feed.fence(4, FenceReason::Paused, false).unwrap();
    assert_eq!(publish.token.reason(), FenceReason::Paused);
    assert_eq!(feed.stage(), Stage::Flowing, "viewers go on");
    assert!(feed.origin().is_none() && !pull.token.is_revoked());
    assert!(feed.fence(5, FenceReason::Paused, false).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_was_replaced_changes_nothing_any_more() {
    let mut feed = Feed::Idle;
    let old = feed.start_pull(&demo()).unwrap().unwrap();
    feed.let_go(&demo()).unwrap();
    let new = feed.start_pull(&demo()).unwrap().unwrap();
    assert!(old.token.is_revoked());
    feed.flow(&old.token);
    feed.set_upstream_ok(&old.token, false);
    feed.refuse(&old.token, refused());
    feed.end_pull(&old.token, refused());
    assert_eq!(feed.stage(), Stage::Starting);
    assert!(feed.upstream_ok());
    assert!(!Arc::ptr_eq(&old.tickets, &new.tickets));
    feed.refuse(&new.token, refused());
    assert_eq!(feed.problem(), Some(&refused()));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_grace_window_spares_a_publisher_that_has_returned() {
    let mut feed = Feed::Idle;
    feed.start_publish(&demo(), origin(1), false).unwrap();
    feed.end_publish(1, refused());
    assert!(feed.origin().is_some(), "its publisher is connected");
    let token = match &feed {
        Feed::Origin(feed) => feed.token.clone(),
        _ => unreachable!("it is published"),
    };
    feed.update_origin(&token, |origin| origin.has_publisher = false);
    feed.end_publish(2, refused());
    assert!(feed.origin().is_some(), "another epoch");
    feed.end_publish(1, refused());
    assert_eq!(feed.stage(), Stage::Ended);
}

#[tokio::test(start_paused = true)]
async fn the_wish_of_the_host_outlives_a_publish_and_ends_with_the_stream() {
    let mut feed = Feed::Idle;
    feed.start_pull(&demo()).unwrap();
    feed.keep();
    feed.start_publish(&demo(), origin(1), false).unwrap();
    let pull = feed.fence(2, FenceReason::TakenOver, false).unwrap();
    assert!(feed.is_kept());
    feed.end_pull(&pull.token, refused());
    feed.start_pull(&demo()).unwrap();
    assert!(!feed.is_kept());
}

#[tokio::test(start_paused = true)]
async fn what_the_host_keeps_out_stays_out_until_it_is_taken_back_in() {
    for (name, mut feed) in each_state() {
        let kept_out = feed.keep_out(&demo()).map_err(|problem| problem.code);
        if name == "origin" {
            assert_eq!(kept_out, Err(Code::Conflict));
            continue;
        }
        assert_eq!(kept_out, Ok(()), "{name}");
        assert_eq!(feed.let_go(&demo()), Ok(()));
        assert_eq!(feed.stage(), Stage::KeptOut);
        feed.take_back_in();
        assert!(feed.start_pull(&demo()).unwrap().is_some(), "{name}");
    }
}
