//! Where viewers can be sent: what the control plane said last about relays and streams.
//!
//! Asked again when older than a second; kept, however old, while the control plane is away. A list
//! that has lost most of its relays at once comes from a state that was wiped, and is not taken at
//! its word for one lease: by then whoever is there has registered again.

mod choose;

use crate::error::Error;
use astral_backend::Bus;
use astral_proto::limits::LEASE;
use astral_proto::message::{GetStream, GetTree, ListNodes};
use astral_proto::model::{Node, Stream, StreamState};
use astral_proto::{Code, Problem, Slug};
use astral_runtime::lock;
pub(crate) use choose::Shunned;
use choose::{Wanted, choose};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// How long the word that a stream is not on air is used: it may begin at any moment.
const FRESH_OFF_AIR: Duration = Duration::from_millis(200);
/// How long any other answer is used without asking again.
const FRESH: Duration = Duration::from_secs(1);
/// Longest an answer is waited for before the last one is used.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Most relays that viewers are spread over.
const RELAYS_MAX: u32 = 1000;
/// Most streams remembered.
const STREAMS_MAX: usize = 1024;

/// What was last heard of relays and streams.
pub(crate) struct Relays {
    bus: Bus,
    nodes: tokio::sync::Mutex<Heard<Known>>,
    streams: Mutex<HashMap<Slug, Heard<Arc<KnownStream>>>>,
}

/// The relays that are known, if any were ever heard of.
#[derive(Clone, Default)]
struct Known {
    nodes: Option<Arc<[Node]>>,
    /// When a list was first doubted.
    doubted: Option<Instant>,
}

/// What is known of a stream.
#[derive(Default)]
struct KnownStream {
    /// What a relay needs to serve it.
    wanted: Wanted,
    /// The state in which nobody can watch it; None while it is on air.
    off_air: Option<StreamState>,
}

#[derive(Clone)]
struct Heard<T> {
    value: T,
    /// When it was last asked for; none before the first time.
    asked: Option<Instant>,
}

impl<T> Heard<T> {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < age)
    }

    fn is_fresh(&self) -> bool {
        self.is_younger_than(FRESH)
    }
}

impl Heard<Arc<KnownStream>> {
    fn is_usable(&self) -> bool {
        let off_air = self.value.off_air.is_some();
        self.is_younger_than(if off_air { FRESH_OFF_AIR } else { FRESH })
    }
}

impl Relays {
    pub(crate) fn new(bus: Bus) -> Self {
        let nodes = tokio::sync::Mutex::new(Heard {
            value: Known::default(),
            asked: None,
        });
        Self {
            bus,
            nodes,
            streams: Mutex::default(),
        }
    }

    /// The base URL of a relay for one more viewer of `slug`, other than those that are `shunned`.
    ///
    /// # Errors
    /// `not_found` if the directory does not know the stream; `not_begun` if nobody publishes it
    /// now; `control_plane_away` if no relay was ever heard of; `full` if the stream does not fit
    /// on any relay that is up.
    pub(crate) async fn for_viewer(&self, slug: &Slug, shunned: &Shunned) -> Result<String, Error> {
        let known = self.nodes().await;
        let in_doubt = known.as_ref().is_ok_and(Known::is_in_doubt);
        let stream = self.stream(slug, in_doubt).await?;
        if let Some(state) = stream.off_air {
            let slug = slug.clone();
            return Err(Error::NotBegun { slug, state });
        }
        let nodes = known?.nodes.unwrap_or_default();
        let relay = choose(&nodes, shunned, &stream.wanted, rand::random());
        relay
            .map(|relay| relay.media_url.clone())
            .ok_or_else(|| Error::NoRoom {
                slug: slug.clone(),
                full_relays: shunned.full.len(),
            })
    }

    /// Callers at the same moment share one question; a failed one is not repeated within
    /// [`FRESH`].
    async fn nodes(&self) -> Result<Known, Error> {
        let mut heard = self.nodes.lock().await;
        if !heard.is_fresh() {
            heard.asked = Some(Instant::now());
            let request = ListNodes {
                cursor: None,
                limit: RELAYS_MAX,
            };
            match self.bus.request(&request, ANSWER_WITHIN).await {
                Ok(page) => heard.value.take_in(page.items),
                Err(problem) => {
                    tracing::debug!(%problem, "list of relays not received; the last one stays in use")
                }
            }
        }
        if heard.value.nodes.is_none() {
            return Err(Error::NoRelayKnown);
        }
        Ok(heard.value.clone())
    }

    async fn stream(&self, slug: &Slug, in_doubt: bool) -> Result<Arc<KnownStream>, Problem> {
        let last = self.lock().get(slug).cloned();
        if let Some(heard) = last.as_ref().filter(|heard| heard.is_usable()) {
            return Ok(heard.value.clone());
        }
        let last = last.map(|heard| heard.value);
        let told = self
            .bus
            .request(&GetStream { slug: slug.clone() }, ANSWER_WITHIN)
            .await;
        let value = match (told, last) {
            (Ok(stream), Some(last)) if in_doubt && !is_on_air(&stream) => last,
            (Ok(stream), last) => Arc::new(self.look_into(&stream, last.as_deref()).await),
            (Err(problem), Some(last)) if in_doubt || problem.code != Code::NotFound => last,
            (Err(problem), _) if problem.code == Code::NotFound => {
                self.lock().remove(slug);
                return Err(problem);
            }
            (Err(_), _) => Arc::default(),
        };
        self.remember(slug, value.clone());
        Ok(value)
    }

    /// Finds out who carries `stream`, if it is on air.
    async fn look_into(&self, stream: &Stream, last: Option<&KnownStream>) -> KnownStream {
        if !is_on_air(stream) {
            return KnownStream {
                wanted: Wanted::default(),
                off_air: Some(stream.state),
            };
        }
        let tree = self
            .bus
            .request(
                &GetTree {
                    slug: stream.slug.clone(),
                },
                ANSWER_WITHIN,
            )
            .await
            .ok();
        let carriers = match tree {
            Some(tree) => tree.relays.iter().map(|relay| relay.node).collect(),
            None => last
                .map(|last| last.wanted.carriers.clone())
                .unwrap_or_default(),
        };
        KnownStream {
            wanted: Wanted {
                carriers,
                kbps: stream.kbps,
            },
            off_air: None,
        }
    }

    fn remember(&self, slug: &Slug, value: Arc<KnownStream>) {
        let mut streams = self.lock();
        if streams.len() >= STREAMS_MAX && !streams.contains_key(slug) {
            streams.retain(|_, heard| heard.is_fresh());
        }
        if streams.len() < STREAMS_MAX || streams.contains_key(slug) {
            streams.insert(
                slug.clone(),
                Heard {
                    value,
                    asked: Some(Instant::now()),
                },
            );
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Slug, Heard<Arc<KnownStream>>>> {
        lock(&self.streams)
    }
}

impl Known {
    fn take_in(&mut self, told: Vec<Node>) {
        let last = self.nodes.take().unwrap_or_default();
        let shrunk = told.len() * 2 < last.len();
        let doubted = self
            .doubted
            .filter(|doubted| shrunk || doubted.elapsed() < LEASE);
        self.doubted = doubted.or_else(|| shrunk.then(Instant::now));
        self.nodes = Some(if shrunk && self.is_in_doubt() {
            joined(told, &last).into()
        } else {
            told.into()
        });
    }

    /// Whether the state may have been wiped within one lease.
    fn is_in_doubt(&self) -> bool {
        self.doubted
            .is_some_and(|doubted| doubted.elapsed() < LEASE)
    }
}

/// What was told, and what was known before and is not in it.
fn joined(mut told: Vec<Node>, last: &[Node]) -> Vec<Node> {
    let left_out = last
        .iter()
        .filter(|node| told.iter().all(|other| other.uuid != node.uuid));
    let left_out: Vec<_> = left_out.cloned().collect();
    told.extend(left_out);
    told
}

fn is_on_air(stream: &Stream) -> bool {
    matches!(stream.state, StreamState::Live | StreamState::Grace)
}

#[cfg(test)]
mod tests;
