//! What a relay says of the publishers that it warned or turned away, kept with their stream.

use crate::record::Record;
use astral_proto::message::{NoticeKind, PublisherNotice};
use astral_proto::model::Notice;
use astral_proto::{NodeId, Slug, UnixMillis};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most notices taken from one heartbeat.
const NOTICES_MAX: usize = 128;
/// Most warnings kept of one publish.
const WARNINGS_MAX: usize = 16;
/// Longest reason and longest detail, in characters.
const REASON_CHARACTERS_MAX: usize = 40;
const DETAIL_CHARACTERS_MAX: usize = 300;
/// A relay states a notice several times, and each time its age is rounded and its way takes a while: notices that
/// are not further apart than this and say the same are one.
const SAME_WITHIN: Duration = Duration::from_millis(1_900);

/// The notices of a heartbeat by stream.
pub fn by_stream(notices: &[PublisherNotice]) -> BTreeMap<&Slug, Vec<&PublisherNotice>> {
    let mut by_stream = BTreeMap::<_, Vec<_>>::new();
    for notice in notices.iter().take(NOTICES_MAX) {
        by_stream.entry(&notice.slug).or_default().push(notice);
    }
    by_stream
}

/// The stream once `node` has said `notices` of it; none if they are no news. Any relay may turn a publisher away, but
/// only the origin of the current publish warns its publisher.
pub fn noted(
    record: &Record,
    node: NodeId,
    notices: &[&PublisherNotice],
    now: UnixMillis,
) -> Option<Record> {
    let mut next = record.clone();
    for notice in notices {
        match notice.kind {
            NoticeKind::Refused => refuse(&mut next, kept(notice, now)),
            NoticeKind::Warned if record.origin == Some(node) && record.epoch == notice.epoch => {
                warn(&mut next, kept(notice, now));
            }
            NoticeKind::Warned | NoticeKind::Unknown => {}
        }
    }
    (next != *record).then_some(next)
}

fn kept(notice: &PublisherNotice, now: UnixMillis) -> Notice {
    let cut = |text: &str, characters: usize| text.chars().take(characters).collect();
    Notice {
        reason: cut(&notice.reason, REASON_CHARACTERS_MAX),
        detail: cut(&notice.detail, DETAIL_CHARACTERS_MAX),
        at: now - Duration::from_millis(notice.age_ms),
    }
}

/// The last refusal stays, whoever is heard last.
fn refuse(record: &mut Record, notice: Notice) {
    let is_known = record.last_refusal.as_ref().is_some_and(|last| {
        let is_repeated = last.reason == notice.reason && last.detail == notice.detail;
        notice.at <= last.at || is_repeated && notice.at.since(last.at) < SAME_WITHIN
    });
    if !is_known {
        record.last_refusal = Some(notice);
    }
}

fn warn(record: &mut Record, notice: Notice) {
    let is_known = record
        .warnings
        .iter()
        .any(|warning| warning.reason == notice.reason);
    if !is_known && record.warnings.len() < WARNINGS_MAX {
        record.warnings.push(notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{granted, next_grant};
    use astral_proto::Incarnation;

    fn record(origin: NodeId) -> Record {
        let fresh = Record::new("demo".parse().unwrap(), None, 0, UnixMillis::new(0));
        let grant = next_grant(&fresh, &[], Incarnation::default(), UnixMillis::new(0));
        granted(fresh, grant, origin, UnixMillis::new(0))
    }

    fn notice(kind: NoticeKind, epoch: u64, reason: &str, age_ms: u64) -> PublisherNotice {
        let slug = "demo".parse().unwrap();
        let detail = format!("{reason} it is");
        PublisherNotice {
            slug,
            epoch,
            kind,
            reason: reason.to_owned(),
            detail,
            age_ms,
        }
    }

    #[test]
    fn any_relay_refuses_and_the_last_refusal_is_kept() {
        let origin = NodeId::random();
        let other = NodeId::random();
        let key = notice(NoticeKind::Refused, 0, "unauthenticated", 500);
        let known = noted(&record(origin), other, &[&key], UnixMillis::new(10_000)).expect("news");
        assert_eq!(
            known.last_refusal.as_ref().unwrap().at,
            UnixMillis::new(9_500)
        );
        let again = PublisherNotice {
            age_ms: 2_510,
            ..key.clone()
        };
        assert_eq!(
            noted(&known, other, &[&again], UnixMillis::new(12_000)),
            None,
            "the same once more"
        );
        let older = notice(NoticeKind::Refused, 0, "conflict", 9_000);
        assert_eq!(
            noted(&known, origin, &[&older], UnixMillis::new(12_000)),
            None
        );
        let next = noted(&known, other, &[&key], UnixMillis::new(20_000)).expect("the next try");
        assert_eq!(next.last_refusal.unwrap().at, UnixMillis::new(19_500));
    }

    #[test]
    fn only_the_origin_of_the_current_publish_warns() {
        let origin = NodeId::random();
        let other = NodeId::random();
        let record = record(origin);
        let warning = notice(NoticeKind::Warned, 1, "open_gop", 0);
        let known = noted(&record, origin, &[&warning], UnixMillis::new(10)).expect("news");
        assert_eq!(known.warnings[0].reason, "open_gop");
        assert_eq!(
            noted(&known, origin, &[&warning], UnixMillis::new(2_010)),
            None,
            "each reason once"
        );
        assert_eq!(
            noted(&record, other, &[&warning], UnixMillis::new(10)),
            None
        );
        let stale = PublisherNotice {
            epoch: 0,
            ..warning
        };
        assert_eq!(noted(&record, origin, &[&stale], UnixMillis::new(10)), None);
        let grant = next_grant(&known, &[], Incarnation::default(), UnixMillis::new(20));
        assert!(
            granted(known, grant, other, UnixMillis::new(20))
                .warnings
                .is_empty(),
            "the next publish starts without"
        );
    }

    #[test]
    fn what_a_node_says_is_bounded() {
        let origin = NodeId::random();
        let long = "x".repeat(100_000);
        let many: Vec<_> = (0..1_000)
            .map(|number| notice(NoticeKind::Warned, 1, &format!("{number}{long}"), 0))
            .collect();
        let by_stream = by_stream(&many);
        let known = noted(
            &record(origin),
            origin,
            &by_stream[&many[0].slug],
            UnixMillis::new(10),
        )
        .expect("news");
        assert_eq!(known.warnings.len(), WARNINGS_MAX);
        assert!(
            known
                .warnings
                .iter()
                .all(|warning| warning.detail.len() <= DETAIL_CHARACTERS_MAX)
        );
        let unknown = notice(NoticeKind::Unknown, 1, "?", 0);
        assert_eq!(
            noted(&record(origin), origin, &[&unknown], UnixMillis::new(10)),
            None
        );
    }
}
