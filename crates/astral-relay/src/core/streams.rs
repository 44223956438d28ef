//! The streams of a relay.

use super::feed::Feed;
use super::stream::{FORGET_AFTER, LET_GO_AFTER, Stream};
use astral_proto::{Code, Problem, Slug};
use astral_runtime::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Most streams on one relay.
const STREAMS_MAX: usize = 4096;

/// The streams of a relay, in the order of their names.
pub struct Streams {
    by_slug: Mutex<BTreeMap<Slug, Arc<Stream>>>,
    cache_bytes_max: usize,
}

impl Streams {
    /// No streams. Each may hold `cache_bytes_max` bytes in its log.
    pub fn new(cache_bytes_max: usize) -> Self {
        Self {
            by_slug: Mutex::default(),
            cache_bytes_max,
        }
    }

    /// The stream, in any state; None if this relay does not know it.
    pub fn find(&self, slug: &Slug) -> Option<Arc<Stream>> {
        lock(&self.by_slug).get(slug).cloned()
    }

    /// The stream; a new one if this relay does not know it. Nobody feeds a new one yet.
    ///
    /// # Errors
    /// `unavailable` when the relay has [`STREAMS_MAX`] streams.
    pub fn find_or_add(&self, slug: &Slug) -> Result<Arc<Stream>, Problem> {
        let mut streams = lock(&self.by_slug);
        if let Some(stream) = streams.get(slug) {
            return Ok(stream.clone());
        }
        if streams.len() >= STREAMS_MAX {
            let detail = format!("this relay carries {STREAMS_MAX} streams already");
            return Err(Problem::new(Code::Unavailable, detail));
        }
        let stream = Arc::new(Stream::new(slug.clone(), self.cache_bytes_max));
        streams.insert(slug.clone(), stream.clone());
        Ok(stream)
    }

    /// Every stream.
    pub fn all(&self) -> Vec<Arc<Stream>> {
        lock(&self.by_slug).values().cloned().collect()
    }

    /// Stops pulling streams that nobody uses, and forgets streams that nobody feeds. Call it once
    /// a second.
    pub fn tidy(&self) {
        lock(&self.by_slug).retain(|slug, stream| {
            stream.readers.tidy();
            if stream.unused_for() > LET_GO_AFTER && stream.feed.update(Feed::stop_pull) {
                tracing::info!(stream.slug = %slug, "stopped pulling a stream that nobody watches");
            }
            !may_be_forgotten(stream)
        });
    }
}

/// Whether nothing would be lost with `stream`: nobody feeds it, its host has not paused it, and
/// either it is long unused, or it was refused before anything arrived.
fn may_be_forgotten(stream: &Stream) -> bool {
    let unused = stream.unused_for() >= FORGET_AFTER;
    let is_empty = stream.log.newest().is_none();
    stream.feed.read(|feed| match feed {
        Feed::Origin(_) | Feed::Pulling(_) | Feed::KeptOut => false,
        Feed::Idle => unused,
        Feed::Refused(_) | Feed::Ended(_) => unused || is_empty,
    })
}
