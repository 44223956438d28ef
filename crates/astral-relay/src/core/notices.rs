//! What publishers were told here in the last seconds, for the next heartbeats.
//!
//! Each notice is stated for [`STATED_FOR`], so that a lost heartbeat loses none. Publishers that
//! were refused before they were accepted have few places of their own: however many come, notices
//! to accepted publishers stay.

use astral_proto::message::{NoticeKind, PublisherNotice};
use astral_runtime::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// For how long a notice is stated: five heartbeats.
const STATED_FOR: Duration = Duration::from_secs(10);
/// Most notices to publishers that were accepted.
const ACCEPTED_MAX: usize = 64;
/// Most notices to publishers that were refused before they were accepted.
const STRANGERS_MAX: usize = 8;
/// Longest detail, in characters.
const DETAIL_CHARACTERS_MAX: usize = 300;

/// What publishers were told in the last seconds.
#[derive(Default)]
pub struct Notices {
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    accepted: VecDeque<Noted>,
    strangers: VecDeque<Noted>,
}

/// One notice, and when it was given.
struct Noted {
    at: Instant,
    notice: PublisherNotice,
}

impl Notices {
    /// Notes what a publisher was told. An epoch of 0 marks one that was refused before it was
    /// accepted. A long detail is cut.
    pub fn add(&self, mut notice: PublisherNotice) {
        if let Some((end, _)) = notice.detail.char_indices().nth(DETAIL_CHARACTERS_MAX) {
            notice.detail.truncate(end);
        }
        lock(&self.queues).add(notice, Instant::now());
    }

    /// What publishers were told, each notice with its age.
    pub fn stated(&self) -> Vec<PublisherNotice> {
        lock(&self.queues).stated(Instant::now())
    }
}

impl Queues {
    fn add(&mut self, notice: PublisherNotice, now: Instant) {
        let (queue, most) = if notice.epoch == 0 {
            (&mut self.strangers, STRANGERS_MAX)
        } else {
            (&mut self.accepted, ACCEPTED_MAX)
        };
        queue.retain(|noted| !replaces(&notice, &noted.notice) && now - noted.at < STATED_FOR);
        if queue.len() >= most {
            queue.pop_front();
        }
        queue.push_back(Noted { at: now, notice });
    }

    fn stated(&self, now: Instant) -> Vec<PublisherNotice> {
        let all = self.accepted.iter().chain(&self.strangers);
        let recent = all
            .map(|noted| (now - noted.at, noted))
            .filter(|(age, _)| *age < STATED_FOR);
        recent
            .map(|(age, noted)| PublisherNotice {
                age_ms: age.as_millis() as u64,
                ..noted.notice.clone()
            })
            .collect()
    }
}

/// Whether `new` makes `old` superfluous: the last refusal of a stream is enough, and the last
/// warning of each reason.
fn replaces(new: &PublisherNotice, old: &PublisherNotice) -> bool {
    let is_same_reason = new.kind == NoticeKind::Refused || new.reason == old.reason;
    new.slug == old.slug && new.kind == old.kind && is_same_reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slugs(notices: &Notices) -> Vec<String> {
        let stated = notices.stated();
        stated
            .iter()
            .map(|notice| notice.slug.to_string())
            .collect()
    }

    fn notice(
        slug: &str,
        epoch: u64,
        kind: NoticeKind,
        reason: &str,
        detail: &str,
    ) -> PublisherNotice {
        PublisherNotice {
            slug: slug.parse().unwrap(),
            epoch,
            kind,
            reason: reason.to_owned(),
            detail: detail.to_owned(),
            age_ms: 0,
        }
    }

    fn refuse(notices: &Notices, slug: &str, epoch: u64, detail: &str) {
        notices.add(notice(slug, epoch, NoticeKind::Refused, "conflict", detail));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_refusal_of_a_stream_is_stated_with_its_age_for_ten_seconds() {
        let notices = Notices::default();
        refuse(&notices, "demo", 0, "first");
        tokio::time::advance(Duration::from_secs(3)).await;
        refuse(&notices, "demo", 0, "second");
        tokio::time::advance(Duration::from_secs(2)).await;
        let [notice] = &notices.stated()[..] else {
            panic!("one notice")
        };
        assert_eq!((&*notice.detail, notice.age_ms), ("second", 2_000));
        tokio::time::advance(STATED_FOR).await;
        assert!(notices.stated().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_strangers_pushes_out_no_accepted_publisher() {
        let notices = Notices::default();
        refuse(&notices, "mine", 7, "too large");
        for number in 0..1_000 {
            refuse(&notices, &format!("guess-{number}"), 0, "the key is wrong");
        }
        let stated = slugs(&notices);
        assert_eq!((stated.len(), &*stated[0]), (1 + STRANGERS_MAX, "mine"));
        assert_eq!(stated[STRANGERS_MAX], "guess-999");
    }

    #[tokio::test(start_paused = true)]
    async fn each_reason_of_a_warning_is_stated_and_long_details_are_cut() {
        let notices = Notices::default();
        for reason in ["open_gop", "left_out", "open_gop"] {
            let detail = "é".repeat(9_999);
            notices.add(notice("demo", 1, NoticeKind::Warned, reason, &detail));
        }
        let stated = notices.stated();
        let reasons: Vec<_> = stated.iter().map(|notice| &*notice.reason).collect();
        assert_eq!(reasons, ["left_out", "open_gop"]);
        let characters = stated.iter().map(|notice| notice.detail.chars().count());
        assert!(characters.eq([DETAIL_CHARACTERS_MAX; 2]));
    }
}
