//! What a word of an origin, or its silence, makes of a stream.

use crate::record::{Reached, Record};
use astral_proto::limits::{LEASE, PUBLISHER_GRACE};
use astral_proto::message::{Carried, OriginState, PublisherGone};
use astral_proto::model::StreamState;
use astral_proto::{Incarnation, Kbps, NodeId, Slug, UnixMillis};
use std::time::Duration;

/// What a heartbeat says of one stream at its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The stream.
    pub slug: Slug,
    /// Who says it.
    pub node: NodeId,
    /// The history that the publish belongs to.
    pub incarnation: Incarnation,
    /// Its publish.
    pub epoch: u64,
    /// Mean bitrate, 0 until known.
    pub kbps: Kbps,
    /// How far it is.
    pub state: OriginState,
}

/// What is to be done about a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The record is now this one.
    Keep(Box<Record>),
    /// The record is now this one, and whoever said it must hear of its epoch: the stream is paused.
    HeldBack(Box<Record>),
    /// Whoever said it is no longer origin, and must hear of this epoch.
    Fence(u64),
}

impl Report {
    /// What `node` says of a stream it carries, if it is the origin.
    pub fn of(node: NodeId, carried: &Carried) -> Option<Self> {
        let Carried {
            slug,
            incarnation,
            epoch,
            kbps,
            origin,
            ..
        } = carried;
        let incarnation = *incarnation;
        let epoch = *epoch;
        let kbps = *kbps;
        origin.map(|state| Self {
            slug: slug.clone(),
            node,
            incarnation,
            epoch,
            kbps,
            state,
        })
    }
}

/// Takes in what an origin said. A higher epoch than known is one that the origin granted itself while the
/// directory was away.
pub fn report(mut record: Record, said: &Report, now: UnixMillis) -> Verdict {
    if said.epoch < record.epoch {
        return Verdict::Fence(record.epoch);
    }
    if record.state == StreamState::Paused {
        // A publish that nobody here granted: its epoch is used up, so the next grant goes past it.
        record.epoch = said.epoch + 1;
        record.restore(said.incarnation);
        record.reached = Some(Reached::heard(said.epoch, said.state, now));
        return Verdict::HeldBack(Box::new(record));
    }
    if said.epoch == record.epoch && record.origin != Some(said.node) {
        // Two granted the same epoch apart from each other: the one known here stays.
        return Verdict::Fence(record.epoch + 1);
    }
    let advanced = has_advanced(&record, said, now);
    if said.epoch > record.epoch {
        record.epoch = said.epoch;
        record.incarnation = said.incarnation.or(record.incarnation);
        record.origin = Some(said.node);
        record.started_at = Some(now);
        record.granted = None;
        record.warnings.clear();
    }
    record.restore(said.incarnation);
    if advanced && record.state != StreamState::Live {
        record.enter(StreamState::Live, now);
    }
    if record
        .reached
        .is_none_or(|reached| !is_overtaken(said, reached))
    {
        record.reached = Some(Reached::heard(said.epoch, said.state, now));
    }
    record.heard_at = now;
    if !said.kbps.is_zero() {
        record.kbps = said.kbps;
    }
    Verdict::Keep(Box::new(record))
}

/// Whether the publisher has sent something since the origin's last word. An origin goes on to report while its
/// publisher is away; only new media makes the stream live again.
fn has_advanced(record: &Record, said: &Report, now: UnixMillis) -> bool {
    let said = Reached::heard(said.epoch, said.state, now);
    record.reached.is_none_or(|before| {
        before.epoch < said.epoch
            || (said.media_at > before.media_at && said.state.newest > before.state.newest)
    })
}

/// Whether the origin has told more since, as its last word before a heartbeat on its way.
fn is_overtaken(said: &Report, reached: Reached) -> bool {
    said.epoch == reached.epoch && said.state.newest < reached.state.newest
}

/// The stream once its publisher has gone; none if it stays as it is, since an older publish broke off.
pub fn publisher_gone(mut record: Record, gone: &PublisherGone, now: UnixMillis) -> Option<Record> {
    if record.state == StreamState::Paused {
        return None;
    }
    let of_now = gone.epoch == record.epoch && record.origin == Some(gone.node);
    if !of_now && gone.epoch <= record.epoch {
        return None;
    }
    let next = if gone.ended {
        StreamState::Ended
    } else {
        StreamState::Grace
    };
    let is_known = matches!(
        (record.state, next),
        (StreamState::Ended, _) | (StreamState::Grace, StreamState::Grace)
    );
    if of_now && is_known && !record.by_silence {
        return None;
    }
    if gone.epoch > record.epoch {
        record.incarnation = gone.incarnation.or(record.incarnation);
    }
    record.epoch = gone.epoch;
    record.origin = Some(gone.node);
    record.reached = Some(Reached::heard(gone.epoch, gone.origin, now));
    record.heard_at = now;
    record.enter(next, now);
    Some(record)
}

/// The stream once time has passed; none if that changes nothing. A stream of which neither its origin nor any relay with
/// new frames was heard for a lease goes into its grace window, and ends when that is over; it is live again when a relay
/// gets a new frame, which one did last at `carried_at`. Under `truce` silence means nothing.
///
/// A node that only claims to get new frames keeps a dead stream on the list of live ones for as long as it says so, in
/// heartbeats that cost what any other does. It keeps no publisher out, since only the origin is asked about that, and
/// viewers and relays that it gets leave it when nothing comes.
pub fn time_passed(
    record: Record,
    now: UnixMillis,
    truce: bool,
    carried_at: UnixMillis,
) -> Option<Record> {
    let longer_than = |since: UnixMillis, limit: Duration| now.since(since) >= limit;
    let told_over = record.state == StreamState::Grace && !record.by_silence;
    if told_over {
        return longer_than(record.state_since, PUBLISHER_GRACE)
            .then(|| entered(record, StreamState::Ended, now));
    }
    let flows = carried_at > record.state_since;
    match record.state {
        StreamState::Grace | StreamState::Ended if record.by_silence && flows => {
            Some(entered(record, StreamState::Live, now))
        }
        StreamState::Live if longer_than(record.heard_at.max(carried_at), LEASE) && !truce => {
            Some(silenced(record, StreamState::Grace, now))
        }
        StreamState::Grace if longer_than(record.state_since, PUBLISHER_GRACE) && !truce => {
            Some(silenced(record, StreamState::Ended, now))
        }
        _ => None,
    }
}

fn entered(mut record: Record, state: StreamState, now: UnixMillis) -> Record {
    record.enter(state, now);
    record
}

fn silenced(record: Record, state: StreamState, now: UnixMillis) -> Record {
    Record {
        by_silence: true,
        ..entered(record, state, now)
    }
}

#[cfg(test)]
mod tests;
