use astral_backend::{Backend, Change, State, Version};
use astral_proto::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const LEASE: Duration = Duration::from_millis(400);
const A_MOMENT: Duration = Duration::from_millis(10);
/// Long enough for a slow machine to see that a lease has ended.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn put(state: &State, id: &str, value: u32, ttl: Option<Duration>) {
    try_put(state, id, value, ttl).await.unwrap();
}

pub async fn try_put(
    state: &State,
    id: &str,
    value: u32,
    ttl: Option<Duration>,
) -> Result<(), Problem> {
    state
        .update("tests", id, |_: Option<u32>| Change::Put {
            value,
            ttl,
            result: (),
        })
        .await
}

pub async fn get(state: &State, id: &str) -> Option<u32> {
    state.get("tests", id).await.unwrap()
}

/// Lets time pass: at once on the paused clock.
async fn elapse(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits for the end of a lease that cannot have begun before `start`, and sees that it does not come early.
async fn ends(start: Instant, mut is_there: impl AsyncFnMut() -> bool) {
    let ended = async {
        while is_there().await {
            elapse(A_MOMENT).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("the lease ends");
    assert!(start.elapsed() >= LEASE, "after {:?}", start.elapsed());
}

async fn put_if_absent(state: &State, value: u32) -> u32 {
    let decide = |found: Option<u32>| match found {
        Some(first) => Change::Keep(first),
        None => Change::Put {
            value,
            ttl: None,
            result: value,
        },
    };
    state.update("tests", "key", decide).await.unwrap()
}

pub async fn entry_is_put_only_if_absent(Backend { state, .. }: Backend) {
    assert_eq!(put_if_absent(&state, 1).await, 1);
    assert_eq!(put_if_absent(&state, 2).await, 1);
    assert_eq!(get(&state, "key").await, Some(1));
}

/// An entry as the version after this one has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Newer {
    count: u32,
    region: String,
}

/// The same entry as this version knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Older {
    count: u32,
}

pub async fn fields_of_a_later_version_outlive_a_change_by_this_one(
    Backend { state, .. }: Backend,
) {
    let newer = Newer {
        count: 1,
        region: "eu".into(),
    };
    state.put("tests", "key", &newer, None).await.unwrap();
    let count_up = |found: Option<Older>| {
        let value = Older {
            count: found.unwrap().count + 1,
        };
        Change::Put {
            value,
            ttl: None,
            result: (),
        }
    };
    state.update("tests", "key", count_up).await.unwrap();
    let (_, first) = state.get_versioned::<Older>("tests", "key").await.unwrap();
    let second = state
        .put_if("tests", "key", &first, &Older { count: 3 }, None)
        .await
        .unwrap()
        .unwrap();
    state
        .put_if("tests", "key", &second, &Older { count: 4 }, None)
        .await
        .unwrap()
        .unwrap();
    let now: Newer = state.get("tests", "key").await.unwrap().unwrap();
    assert_eq!(
        now,
        Newer {
            count: 4,
            region: "eu".into()
        }
    );
}

pub async fn put_entry_is_read_back_and_removed_once(Backend { state, .. }: Backend) {
    assert_eq!(get(&state, "a").await, None);
    put(&state, "a", 1, None).await;
    put(&state, "b", 2, None).await;
    assert_eq!(get(&state, "a").await, Some(1));
    assert_eq!(state.remove("tests", "a").await, Ok(true));
    assert_eq!(state.remove("tests", "a").await, Ok(false));
    assert_eq!(
        (get(&state, "a").await, get(&state, "b").await),
        (None, Some(2))
    );
    let removed = state
        .update("tests", "b", |found: Option<u32>| Change::Remove(found))
        .await;
    assert_eq!((removed, get(&state, "b").await), (Ok(Some(2)), None));
}

pub async fn kept_entry_does_not_change(Backend { state, .. }: Backend) {
    put(&state, "a", 1, None).await;
    let kept = state
        .update("tests", "a", |found: Option<u32>| Change::Keep(found))
        .await;
    assert_eq!((kept, get(&state, "a").await), (Ok(Some(1)), Some(1)));
    let absent = state
        .update("tests", "b", |found: Option<u32>| Change::Keep(found))
        .await;
    assert_eq!((absent, get(&state, "b").await), (Ok(None), None));
}

pub async fn collections_do_not_share_entries(Backend { state, .. }: Backend) {
    put(&state, "a", 1, None).await;
    assert_eq!(state.get::<u32>("others", "a").await, Ok(None));
    assert_eq!(state.remove("others", "a").await, Ok(false));
    assert_eq!(state.list::<u32>("others", None, 10).await, Ok(vec![]));
}

pub async fn entry_on_a_lease_is_gone_after_it_and_not_before(Backend { state, .. }: Backend) {
    let start = Instant::now();
    put(&state, "a", 1, Some(LEASE)).await;
    put(&state, "b", 2, None).await;
    ends(start, async || get(&state, "a").await == Some(1)).await;
    assert_eq!(
        (get(&state, "a").await, get(&state, "b").await),
        (None, Some(2))
    );
}

pub async fn entry_put_again_starts_a_new_lease(Backend { state, .. }: Backend) {
    put(&state, "renewed", 1, Some(LEASE)).await;
    put(&state, "for ever", 1, Some(LEASE)).await;
    elapse(LEASE / 2).await;
    let start = Instant::now();
    put(&state, "renewed", 2, Some(LEASE)).await;
    put(&state, "for ever", 2, None).await;
    ends(start, async || get(&state, "renewed").await == Some(2)).await;
    assert_eq!(
        (get(&state, "renewed").await, get(&state, "for ever").await),
        (None, Some(2))
    );
}

pub async fn kept_entry_keeps_its_lease(Backend { state, .. }: Backend) {
    let start = Instant::now();
    put(&state, "a", 1, Some(LEASE)).await;
    let keep = async || {
        let kept = state
            .update("tests", "a", |found: Option<u32>| {
                Change::Keep(found.is_some())
            })
            .await;
        kept.unwrap()
    };
    ends(start, keep).await;
}

pub async fn entry_whose_lease_has_ended_is_absent_to_everything(Backend { state, .. }: Backend) {
    put(&state, "key", 1, Some(LEASE)).await;
    elapse(LEASE + A_MOMENT).await;
    assert_eq!(state.list::<u32>("tests", None, 10).await, Ok(vec![]));
    assert_eq!(state.remove("tests", "key").await, Ok(false));
    assert_eq!(put_if_absent(&state, 2).await, 2);
}

/// Goal: a list is complete however many entries it has, and skips what has ended. Method: entries of which every
/// third is on a lease that runs out.
pub async fn long_list_is_complete_and_without_what_has_ended(Backend { state, .. }: Backend) {
    const ENTRIES: u32 = 3000;
    let mut putting = tokio::task::JoinSet::new();
    for number in 0..ENTRIES {
        let state = state.clone();
        let ttl = (number % 3 == 0).then_some(LEASE);
        putting.spawn(async move { put(&state, &format!("{number:04}"), number, ttl).await });
    }
    putting.join_all().await;
    elapse(LEASE + A_MOMENT).await;
    let all = state
        .list::<u32>("tests", None, State::LIST_ITEMS_MAX)
        .await
        .unwrap();
    let values: Vec<u32> = all.into_iter().map(|(_, value)| value).collect();
    assert_eq!(
        values,
        Vec::from_iter((0..ENTRIES).filter(|number| number % 3 != 0))
    );
    let some = state
        .list::<u32>("tests", Some("1000"), 1500)
        .await
        .unwrap();
    let expected: Vec<u32> = (1001..ENTRIES)
        .filter(|number| number % 3 != 0)
        .take(1500)
        .collect();
    assert_eq!(
        some.into_iter().map(|(_, value)| value).collect::<Vec<_>>(),
        expected
    );
}

pub async fn list_pages_run_through_all_entries_in_order(Backend { state, .. }: Backend) {
    for id in ["c", "a", "e", "b", "d"] {
        put(&state, id, 0, None).await;
    }
    let mut pages = Vec::new();
    let mut after = None::<String>;
    loop {
        let page = state
            .list::<u32>("tests", after.as_deref(), 2)
            .await
            .unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        pages.push(page.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    // The cursor need not be an entry any more.
    let rest = state.list::<u32>("tests", Some("cc"), 1).await.unwrap();
    assert_eq!(rest, [("d".to_owned(), 0)]);
}

pub async fn list_over_the_limit_is_refused(Backend { state, .. }: Backend) {
    let refused = state
        .list::<u32>("tests", None, State::LIST_ITEMS_MAX + 1)
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
}

pub async fn entry_of_another_shape_is_an_error_not_a_guess(Backend { state, .. }: Backend) {
    put(&state, "a", 1, None).await;
    let problem = state.get::<String>("tests", "a").await.unwrap_err();
    assert_eq!(problem.code, Code::Internal);
    assert!(
        problem.detail.starts_with("tests/a cannot be read"),
        "{problem}"
    );
}

pub async fn oversized_value_is_refused_and_changes_nothing(Backend { state, .. }: Backend) {
    let value = "x".repeat(1 << 20);
    let decide = |_: Option<String>| Change::Put {
        value: value.clone(),
        ttl: None,
        result: (),
    };
    assert_eq!(
        state.update("tests", "a", decide).await.unwrap_err().code,
        Code::BadRequest
    );
    assert_eq!(state.get::<String>("tests", "a").await, Ok(None));
}

/// Goal: a decision on what has changed meanwhile does not count. Method: two writers that both decide on the entry
/// before either has written.
pub async fn update_decides_anew_when_another_writer_came_between(Backend { state, .. }: Backend) {
    let both_decide = Arc::new(Barrier::new(2));
    let decisions = Arc::new(AtomicU32::new(0));
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let state = state.clone();
        let both_decide = Arc::clone(&both_decide);
        let decisions = Arc::clone(&decisions);
        let mut first = true;
        racing.spawn(async move {
            let add = |found: Option<u32>| {
                decisions.fetch_add(1, Ordering::SeqCst);
                if std::mem::take(&mut first) {
                    // A worker that waits would keep what it has queued from the others.
                    tokio::task::block_in_place(|| both_decide.wait());
                }
                Change::Put {
                    value: found.unwrap_or(0) + 1,
                    ttl: None,
                    result: (),
                }
            };
            state.update("tests", "count", add).await.unwrap();
        });
    }
    racing.join_all().await;
    assert_eq!(
        (get(&state, "count").await, decisions.load(Ordering::SeqCst)),
        (Some(2), 3)
    );
}

/// Goal: what is read and what is written are one step. Method: 64 tasks on several threads take one each
/// from 40.
pub async fn racing_updates_grant_exactly_what_there_is(Backend { state, .. }: Backend) {
    put(&state, "left", 40, None).await;
    let take = |left: Option<u32>| match left {
        Some(left) if left > 0 => Change::Put {
            value: left - 1,
            ttl: None,
            result: true,
        },
        _ => Change::Keep(false),
    };
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let state = state.clone();
        racing.spawn(async move { state.update("tests", "left", take).await.unwrap() });
    }
    let granted = racing
        .join_all()
        .await
        .into_iter()
        .filter(|granted| *granted)
        .count();
    assert_eq!((granted, get(&state, "left").await), (40, Some(0)));
}

pub async fn entry_is_put_over_the_version_that_was_seen_and_no_other(
    Backend { state, .. }: Backend,
) {
    let absent = Version::default();
    assert_eq!(
        state.get_versioned::<u32>("tests", "a").await,
        Ok((None, absent.clone()))
    );
    let first = state
        .put_if("tests", "a", &absent, &1, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        state.get_versioned("tests", "a").await,
        Ok((Some(1), first.clone()))
    );
    assert_eq!(
        state.put_if("tests", "a", &absent, &2, None).await,
        Ok(None),
        "it is there already"
    );
    let second = state
        .put_if("tests", "a", &first, &2, Some(LEASE))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        state.put_if("tests", "a", &first, &3, None).await,
        Ok(None),
        "another came between"
    );
    assert_eq!(get(&state, "a").await, Some(2));
    ends(Instant::now() - LEASE, async || {
        get(&state, "a").await.is_some()
    })
    .await;
    assert_eq!(
        state.put_if("tests", "a", &second, &3, None).await,
        Ok(None),
        "its lease has ended"
    );
    assert_eq!(get(&state, "a").await, None);
}

pub async fn entry_is_put_whatever_was_there_and_starts_a_new_lease(
    Backend { state, .. }: Backend,
) {
    state.put("tests", "a", &1, None).await.unwrap();
    let (_, seen) = state.get_versioned::<u32>("tests", "a").await.unwrap();
    let start = Instant::now();
    state.put("tests", "a", &2, Some(LEASE)).await.unwrap();
    assert_eq!(get(&state, "a").await, Some(2));
    assert_eq!(
        state.put_if("tests", "a", &seen, &3, None).await,
        Ok(None),
        "it is a write like any other"
    );
    ends(start, async || get(&state, "a").await.is_some()).await;
    let listed: Vec<(String, u32)> = state.list("tests", None, 10).await.unwrap();
    assert_eq!(listed, []);
}

pub async fn many_entries_are_read_at_once_in_the_order_asked_for(Backend { state, .. }: Backend) {
    put(&state, "a", 1, None).await;
    put(&state, "b", 2, None).await;
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let found = state
        .get_many::<u32>("tests", &ids(&["b", "none", "a", "b"]))
        .await;
    assert_eq!(found, Ok(vec![Some(2), None, Some(1), Some(2)]));
    assert_eq!(state.get_many::<u32>("tests", &[]).await, Ok(vec![]));
    let many = vec!["a".to_owned(); State::GET_ITEMS_MAX + 1];
    assert_eq!(
        state
            .get_many::<u32>("tests", &many)
            .await
            .unwrap_err()
            .code,
        Code::BadRequest
    );
    state.put("tests", "a", &"text", None).await.unwrap();
    let misread = state.get_many::<u32>("tests", &ids(&["a"])).await;
    assert_eq!(misread.unwrap_err().code, Code::Internal);
}

pub async fn many_entries_are_removed_at_once_those_that_there_are(Backend { state, .. }: Backend) {
    for (id, ttl) in [("a", None), ("b", Some(PATIENCE)), ("c", None)] {
        put(&state, id, 1, ttl).await;
    }
    assert_eq!(
        state.remove_many("tests", &["a", "none", "b"]).await,
        Ok(())
    );
    assert_eq!(
        state.list::<u32>("tests", None, 9).await,
        Ok(vec![("c".to_owned(), 1)])
    );
    assert_eq!(
        (get(&state, "a").await, get(&state, "b").await),
        (None, None)
    );
    assert_eq!(state.remove_many("tests", &[]).await, Ok(()));
    let many = vec!["c"; State::REMOVE_ITEMS_MAX + 1];
    assert_eq!(
        state.remove_many("tests", &many).await.unwrap_err().code,
        Code::BadRequest
    );
    assert_eq!(get(&state, "c").await, Some(1));
}
