//! What publishers were told here lately, for the next heartbeats.
//!
//! Each is stated for [`STATED_FOR`], so that one lost heartbeat loses none. Strangers, who were turned away at the
//! door, have few places of their own: however many come, what was told to accepted publishers stays.

use super::relay::Relay;
use crate::sync::lock;
use astral_proto::Slug;
use astral_proto::message::{NoticeKind, PublisherNotice};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// For how long a notice is stated: five heartbeats.
const STATED_FOR: Duration = Duration::from_secs(10);
/// Most notices to publishers that were accepted.
const ACCEPTED_MAX: usize = 64;
/// Most notices to strangers.
const STRANGERS_MAX: usize = 8;
/// Longest detail, in characters.
const DETAIL_CHARACTERS_MAX: usize = 300;

/// What publishers were told lately.
#[derive(Default)]
pub struct Notices {
    accepted: VecDeque<Told>,
    strangers: VecDeque<Told>,
}

/// One notice; its age is that of `at`.
struct Told {
    at: Instant,
    notice: PublisherNotice,
}

impl Notices {
    fn add(&mut self, notice: PublisherNotice, now: Instant) {
        let is_stranger = notice.epoch == 0;
        let (queue, most) = if is_stranger {
            (&mut self.strangers, STRANGERS_MAX)
        } else {
            (&mut self.accepted, ACCEPTED_MAX)
        };
        queue
            .retain(|told| !is_about_the_same(&told.notice, &notice) && now - told.at < STATED_FOR);
        if queue.len() >= most {
            queue.pop_front();
        }
        queue.push_back(Told { at: now, notice });
    }

    fn stated(&self, now: Instant) -> Vec<PublisherNotice> {
        let told = self.accepted.iter().chain(&self.strangers);
        let recent = told
            .map(|told| (now - told.at, told))
            .filter(|(age, _)| *age < STATED_FOR);
        recent
            .map(|(age, told)| PublisherNotice {
                age_ms: age.as_millis() as u64,
                ..told.notice.clone()
            })
            .collect()
    }
}

/// Of the refusals of a stream the last one is enough, and of its warnings the last of each reason.
fn is_about_the_same(one: &PublisherNotice, other: &PublisherNotice) -> bool {
    let is_same_reason = one.kind == NoticeKind::Refused || one.reason == other.reason;
    one.slug == other.slug && one.kind == other.kind && is_same_reason
}

impl Relay {
    /// Notes what the publisher of `slug` was told; `epoch` is its publish, 0 if it was turned away at the door.
    pub(crate) fn note_publisher(
        &self,
        slug: &Slug,
        epoch: u64,
        kind: NoticeKind,
        reason: &str,
        detail: &str,
    ) {
        let notice = PublisherNotice {
            slug: slug.clone(),
            epoch,
            kind,
            reason: reason.to_owned(),
            detail: detail.chars().take(DETAIL_CHARACTERS_MAX).collect(),
            age_ms: 0,
        };
        lock(&self.shared.notices).add(notice, Instant::now());
    }

    /// What publishers were told here lately.
    pub fn notices(&self) -> Vec<PublisherNotice> {
        lock(&self.shared.notices).stated(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::relay;

    fn slugs(relay: &Relay) -> Vec<String> {
        relay
            .notices()
            .iter()
            .map(|notice| notice.slug.to_string())
            .collect()
    }

    fn refuse(relay: &Relay, slug: &str, epoch: u64, detail: &str) {
        relay.note_publisher(
            &slug.parse().unwrap(),
            epoch,
            NoticeKind::Refused,
            "conflict",
            detail,
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_refusal_of_a_stream_is_stated_with_its_age_until_all_have_heard_it() {
        let relay = relay();
        refuse(&relay, "demo", 0, "first");
        tokio::time::advance(Duration::from_secs(3)).await;
        refuse(&relay, "demo", 0, "second");
        tokio::time::advance(Duration::from_secs(2)).await;
        let [notice] = &relay.notices()[..] else {
            panic!("one notice")
        };
        assert_eq!((&*notice.detail, notice.age_ms), ("second", 2_000));
        tokio::time::advance(STATED_FOR).await;
        assert!(relay.notices().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_without_number_push_out_no_publisher() {
        let relay = relay();
        refuse(&relay, "mine", 7, "too large");
        for number in 0..1_000 {
            refuse(&relay, &format!("guess-{number}"), 0, "the key is wrong");
        }
        let stated = slugs(&relay);
        assert_eq!((stated.len(), &*stated[0]), (1 + STRANGERS_MAX, "mine"));
        assert_eq!(stated[STRANGERS_MAX], "guess-999");
    }

    #[tokio::test(start_paused = true)]
    async fn each_reason_of_a_warning_is_stated_and_long_details_are_cut() {
        let relay = relay();
        let slug: Slug = "demo".parse().unwrap();
        for reason in ["open_gop", "left_out", "open_gop"] {
            relay.note_publisher(&slug, 1, NoticeKind::Warned, reason, &"x".repeat(9_999));
        }
        let stated = relay.notices();
        let reasons: Vec<_> = stated.iter().map(|notice| &*notice.reason).collect();
        assert_eq!(reasons, ["left_out", "open_gop"]);
        assert!(
            stated
                .iter()
                .all(|notice| notice.detail.len() == DETAIL_CHARACTERS_MAX)
        );
    }
}
