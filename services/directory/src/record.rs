//! What the directory keeps of each stream, and what it shows of it.

use crate::publish_key::StoredKey;
use astral_proto::message::{FenceReason, Grant, OriginState};
use astral_proto::model::{Notice, Stream, StreamState, Viewers};
use astral_proto::{Incarnation, Kbps, NodeId, Slug, UnixMillis};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// One stream as the directory keeps it. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub slug: Slug,
    /// What its publisher must prove to know; none for open publishing.
    pub key: Option<StoredKey>,
    /// As of when the file of declared streams stood that the key is from; 0 if it is from none.
    #[serde(default)]
    pub declared_at: UnixMillis,
    /// Where it is in its life.
    pub state: StreamState,
    /// Since when it is there.
    pub state_since: UnixMillis,
    /// The history that its epochs and GOPs are numbered in; none is known before the first publish.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// Whether silence alone has brought it there. Then it is live again, in the same publish, as soon as its origin or
    /// a relay that carries it is heard with new frames.
    #[serde(default)]
    pub by_silence: bool,
    /// The current publish, or the last; 0 before the first.
    pub epoch: u64,
    /// Why whoever states a lower epoch is origin no longer.
    #[serde(default)]
    pub fence_reason: FenceReason,
    /// Who is its origin, or was last.
    pub origin: Option<NodeId>,
    /// What that origin was granted.
    pub granted: Option<Grant>,
    /// The request that was granted, so that it gets the same grant when it is repeated at another replica.
    #[serde(default)]
    pub granted_for: Option<Uuid>,
    /// The request that made it, so that it does not find its own stream in the way when it is repeated.
    #[serde(default)]
    pub made_for: Option<Uuid>,
    /// How far any origin is known to have come.
    pub reached: Option<Reached>,
    /// Mean bitrate over 10 s.
    pub kbps: Kbps,
    /// When the current publish started.
    pub started_at: Option<UnixMillis>,
    /// When the origin was last heard of.
    pub heard_at: UnixMillis,
    /// What the publisher of the current publish was told to change.
    #[serde(default)]
    pub warnings: Vec<Notice>,
    /// Why a publisher was last turned away.
    #[serde(default)]
    pub last_refusal: Option<Notice>,
}

/// How far an origin had come by its last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// In which publish.
    pub epoch: u64,
    /// How far.
    pub state: OriginState,
    /// When media last came.
    pub media_at: UnixMillis,
}

impl Reached {
    /// What was heard at `now`.
    pub fn heard(epoch: u64, state: OriginState, now: UnixMillis) -> Self {
        Self {
            epoch,
            state,
            media_at: now - Duration::from_millis(state.silent_ms),
        }
    }
}

impl Record {
    /// A stream that nobody has published yet. `epoch` is the last one used under this name.
    pub fn new(slug: Slug, key: Option<StoredKey>, epoch: u64, now: UnixMillis) -> Self {
        Self {
            slug,
            key,
            declared_at: UnixMillis::ZERO,
            state: StreamState::Idle,
            state_since: now,
            incarnation: Incarnation::default(),
            by_silence: false,
            epoch,
            fence_reason: FenceReason::default(),
            origin: None,
            granted: None,
            granted_for: None,
            made_for: None,
            reached: None,
            kbps: Kbps::ZERO,
            started_at: None,
            heard_at: now,
            warnings: Vec::new(),
            last_refusal: None,
        }
    }

    /// What `request` of `node` was granted, if that is the present grant.
    pub fn grant_for(&self, request: Uuid, node: NodeId) -> Option<&Grant> {
        let is_its_own = self.granted_for == Some(request) && self.origin == Some(node);
        self.granted.as_ref().filter(|_| is_its_own)
    }

    /// The stream as users see it.
    pub fn shown(&self, viewers: Viewers) -> Stream {
        let on_air = self.on_air();
        Stream {
            slug: self.slug.clone(),
            state: self.state,
            epoch: self.epoch,
            origin: self.origin.filter(|_| on_air),
            kbps: if on_air { self.kbps } else { Kbps::ZERO },
            started_at: self.started_at,
            last_seen_at: self
                .reached
                .map(|reached| reached.media_at)
                .or(self.started_at),
            viewers,
            warnings: self.warnings.clone(),
            last_refusal: self.last_refusal.clone(),
        }
    }

    /// Whether it has an origin now.
    pub fn on_air(&self) -> bool {
        matches!(self.state, StreamState::Live | StreamState::Grace)
    }

    /// Takes over the incarnation that an origin told, unless another is known already.
    pub fn restore(&mut self, told: Incarnation) {
        self.incarnation = self.incarnation.or(told);
    }

    /// Cuts its publisher off: uses the present epoch up, so that its origin is fenced, also one that hears of it later.
    /// Who is to be told, and of which epoch; none if nobody publishes it.
    pub fn cut_off(&mut self, reason: FenceReason) -> Option<(NodeId, u64)> {
        if !self.on_air() {
            return None;
        }
        self.epoch += 1;
        self.fence_reason = reason;
        self.origin.map(|origin| (origin, self.epoch))
    }

    /// Has publishers need `key` from now on. A publisher has been cut off by then; viewers wait for the next one.
    pub fn change_key(&mut self, key: StoredKey, now: UnixMillis) {
        self.key = Some(key);
        if self.state == StreamState::Live {
            self.enter(StreamState::Grace, now);
        }
    }

    /// Moves it to `state`, because somebody said so.
    pub fn enter(&mut self, state: StreamState, now: UnixMillis) {
        self.state = state;
        self.state_since = now;
        self.by_silence = false;
    }
}
