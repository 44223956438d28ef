//! What the directory does: ask, decide, keep, tell.

use crate::Error;
use crate::audience::Audience;
use crate::change::{Changed, Wish, refuse_if_paused};
use crate::grant::{Heard, origin_to_ask, refuse_if_alive};
use crate::liveness::Report;
use crate::notices::by_stream;
use crate::publish_key::{StoredKey, may_publish};
use crate::record::Record;
use crate::store::{Declaration, Outcome, Store};
use astral_backend::{Asked, Bus, Truce};
use astral_env::Env;
use astral_proto::limits::PAGE_ITEMS_MAX;
use astral_proto::message::{
    ChangeStream, CreateStream, DeleteStream, Fence, FenceReason, GetStream, GoLive, Grant,
    Heartbeat, ListStreams, Probe, Probed, PublisherGone, StreamChanged, event,
};
use astral_proto::model::{Page, Stream, StreamState};
use astral_proto::{NodeId, Problem, Slug};
use astral_runtime::{LogThrottle, read_lock, write_lock};
use futures_util::future::{join, join_all, ready};
use futures_util::stream::{self, StreamExt};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// How long the origin may take to say whether it has a publisher.
const ORIGIN_ANSWERS_WITHIN: Duration = Duration::from_millis(300);
/// How long other relays may take to say how far they are.
const RELAY_ANSWERS_WITHIN: Duration = Duration::from_millis(200);
/// How often a grant is decided anew because another one came between.
const GRANT_TRIES_MAX: usize = 3;
/// Most declared streams that are put in place at once.
const DECLARED_AT_ONCE_MAX: usize = 16;
/// What each change and each sweep would log while bus or state is away.
static NOT_TOLD: LogThrottle = LogThrottle::new();
static NOT_PUT_BACK: LogThrottle = LogThrottle::new();

/// The directory, cheap to clone.
#[derive(Clone)]
pub struct Directory {
    /// What it keeps.
    pub store: Store,
    /// How it reaches others.
    pub bus: Bus,
    /// The clock and the random source.
    pub env: Env,
    /// Whether a stream without a key takes any publisher.
    pub open_publishing: bool,
    /// Who watches, as of the last sweep.
    pub audience: Arc<RwLock<Audience>>,
    /// While it holds, silence is not death.
    pub truce: Arc<Truce>,
    /// Where messages that nobody waits for are sent.
    pub tasks: TaskTracker,
}

impl Directory {
    /// Lets a relay be origin of the next publish.
    ///
    /// # Errors
    /// `unauthenticated` or `forbidden` without the key, `forbidden` while paused; `conflict` while another publisher sends.
    pub async fn go_live(self, ask: GoLive, asked: Asked) -> Result<Grant, Error> {
        for _ in 0..GRANT_TRIES_MAX {
            let seen = self.known(&ask.slug).await?;
            may_publish(
                &ask.slug,
                seen.as_ref(),
                ask.key.as_deref(),
                self.open_publishing,
            )?;
            refuse_if_paused(&ask.slug, seen.as_ref())?;
            let grant = seen
                .as_ref()
                .and_then(|record| record.grant_for(asked.request, ask.node));
            if let Some(grant) = grant {
                return Ok(grant.clone());
            }
            let heard = self.ask_relays(&ask, seen.as_ref()).await?;
            let now = self.store.state.now();
            let slug = &ask.slug;
            let node = ask.node;
            let request = asked.request;
            let decided = self
                .store
                .grant(slug, node, request, seen.as_ref(), &heard, now)
                .await?;
            let Some((record, grant)) = decided else {
                continue;
            };
            if let Some(old) = origin_to_ask(seen.as_ref(), ask.node) {
                drop(self.fence(old, &ask.slug, grant.epoch, FenceReason::TakenOver));
            }
            let subject = if seen.is_some() {
                event::STREAM_CHANGED
            } else {
                event::STREAM_CREATED
            };
            self.announce(subject, &record).await;
            return Ok(grant);
        }
        Err(Error::GrantContended(ask.slug))
    }

    /// Starts the grace window of a stream, or ends it.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn publisher_gone(self, gone: PublisherGone) -> Result<(), Error> {
        if let Some(record) = self
            .store
            .publisher_gone(&gone, self.store.state.now())
            .await?
        {
            self.announce(event::STREAM_CHANGED, &record).await;
        }
        Ok(())
    }

    /// Makes a stream.
    ///
    /// # Errors
    /// `conflict` if it exists, `bad_request` if its key is too long or empty.
    pub async fn create(self, ask: CreateStream, asked: Asked) -> Result<Stream, Error> {
        let key = ask
            .key
            .as_deref()
            .map(|key| StoredKey::new(key, self.env.bytes()))
            .transpose()?;
        self.known(&ask.slug).await?;
        let record = self
            .store
            .create(&ask.slug, key, asked.request, self.store.state.now())
            .await?;
        self.store.memory.note(&record);
        self.announce(event::STREAM_CREATED, &record).await;
        Ok(self.shown(&record))
    }

    /// Pauses a stream or lets it go on, and changes its key.
    ///
    /// # Errors
    /// `not_found`; `bad_request` if nothing is to change, or its key is too long or empty; `conflict` if its key is
    /// declared in the file of streams.
    pub async fn change(self, ask: ChangeStream) -> Result<Stream, Error> {
        let wish = Wish::new(&ask, self.env.bytes())?;
        if wish.key.is_some() && self.declares(&ask.slug).is_some_and(|key| key.is_some()) {
            return Err(Error::KeyDeclared(ask.slug));
        }
        self.known(&ask.slug).await?;
        let changed = self
            .store
            .owner_wants(&wish, &ask.slug, self.store.state.now())
            .await?;
        let Changed { record, fence } =
            changed.ok_or_else(|| Error::UnknownStream(ask.slug.clone()))?;
        self.store.memory.note(&record);
        // Once this is answered, the old publisher is off the air, unless its relay cannot be reached.
        if let Some((origin, epoch)) = fence {
            drop(
                self.fence(origin, &ask.slug, epoch, record.fence_reason)
                    .await,
            );
        }
        self.announce(event::STREAM_CHANGED, &record).await;
        Ok(self.shown(&record))
    }

    /// Looks a stream up.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn get(self, ask: GetStream) -> Result<Stream, Error> {
        let record = self.known(&ask.slug).await?;
        record
            .map(|record| self.shown(&record))
            .ok_or_else(|| Error::UnknownStream(ask.slug.clone()))
    }

    /// Lists streams by name.
    ///
    /// # Errors
    /// `bad_request` if the limit is out of bounds.
    pub async fn list(self, ask: ListStreams) -> Result<Page<Stream>, Error> {
        if !(1..=PAGE_ITEMS_MAX).contains(&ask.limit) {
            return Err(Error::PageLimit(ask.limit));
        }
        if !ask.states.is_empty() {
            return self.list_on_air(&ask).await;
        }
        let limit = ask.limit as usize;
        let mut found = self.store.streams(ask.cursor.as_deref(), limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next_cursor = found
            .last()
            .filter(|_| more)
            .map(|last| last.slug.to_string());
        Ok(Page {
            items: found.iter().map(|record| self.shown(record)).collect(),
            next_cursor,
        })
    }

    /// Lists streams in the states asked for by the index of those on air. Others in it are passed over, so a page may have
    /// fewer items than its limit.
    async fn list_on_air(&self, ask: &ListStreams) -> Result<Page<Stream>, Error> {
        let is_on_air =
            |state: &StreamState| matches!(state, StreamState::Live | StreamState::Grace);
        if !ask.states.iter().all(is_on_air) {
            return Err(Error::StateNotListed);
        }
        let limit = ask.limit as usize;
        let mut names = self
            .store
            .names_on_air(ask.cursor.as_deref(), limit + 1)
            .await?;
        let more = names.len() > limit;
        names.truncate(limit);
        let found = self.store.streams_named(&names).await?;
        let wanted = found
            .iter()
            .filter(|record| ask.states.contains(&record.state));
        let items = wanted.map(|record| self.shown(record)).collect();
        Ok(Page {
            items,
            next_cursor: names.pop().filter(|_| more),
        })
    }

    /// Takes a stream off the list and cuts its publisher off.
    ///
    /// # Errors
    /// `not_found`; `conflict` if it is declared in the file of streams.
    pub async fn delete(self, ask: DeleteStream, asked: Asked) -> Result<(), Error> {
        if self.declares(&ask.slug).is_some() {
            return Err(Error::StreamDeclared(ask.slug));
        }
        if asked.is_repeated() && self.store.was_removed_by(&ask.slug, asked.request).await? {
            return Ok(());
        }
        self.store.note_removal(&ask.slug, asked.request).await?;
        let record = self
            .store
            .remove(&ask.slug)
            .await?
            .ok_or_else(|| Error::UnknownStream(ask.slug.clone()))?;
        if let Some(origin) = record.origin.filter(|_| record.on_air()) {
            drop(self.fence(origin, &ask.slug, record.epoch + 1, FenceReason::Deleted));
        }
        self.index(&ask.slug, false).await;
        self.publish(
            event::STREAM_GONE,
            StreamChanged {
                slug: ask.slug,
                stream: None,
            },
        )
        .await;
        Ok(())
    }

    /// Takes in a heartbeat; a late one changes nothing.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn hear(&self, heartbeat: &Heartbeat) -> Result<(), Problem> {
        if !self.store.hear_node(heartbeat).await? {
            return Ok(());
        }
        for said in heartbeat
            .streams
            .iter()
            .filter_map(|carried| Report::of(heartbeat.node, carried))
        {
            match self
                .store
                .hear_origin(&said, self.store.state.now())
                .await?
            {
                Outcome::Fence(epoch, reason) => {
                    drop(self.fence(said.node, &said.slug, epoch, reason))
                }
                Outcome::Changed(record) => self.announce(event::STREAM_CHANGED, &record).await,
                Outcome::Same => {}
            }
        }
        for (slug, notices) in by_stream(&heartbeat.notices) {
            if let Some(record) = self.store.note(slug, heartbeat.node, &notices).await? {
                self.announce(event::STREAM_CHANGED, &record).await;
            }
        }
        Ok(())
    }

    /// Ends what has been silent for too long, and sums up who watches.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn sweep(&self) -> Result<(), Problem> {
        let audience = self.store.audience().await?;
        let now = self.store.state.now();
        let swept = self.store.sweep(now, self.truce.holds(), &audience).await?;
        for record in swept.changed {
            self.announce(event::STREAM_CHANGED, &record).await;
        }
        *write_lock(&self.audience) = audience;
        // Of whoever is alive this says nothing, and the next sweep tries again.
        if let Err(error) = self.declare_each(swept.undeclared, false).await
            && let Some(times) = NOT_PUT_BACK.occurred(error.code.as_str())
        {
            tracing::warn!(%error, times, "declared streams are not all put back");
        }
        if let Err(error) = self.restore_each(swept.lost).await
            && let Some(times) = NOT_PUT_BACK.occurred(error.code.as_str())
        {
            tracing::warn!(%error, times, "streams that the state has lost are not all put back");
        }
        Ok(())
    }

    /// Puts streams back that the state has lost; one that cannot be holds up no other.
    async fn restore_each(&self, lost: Vec<Slug>) -> Result<(), Problem> {
        let restoring: Vec<_> = lost
            .into_iter()
            .map(|slug| self.clone().restore(slug))
            .collect();
        let restored = stream::iter(restoring).buffer_unordered(DECLARED_AT_ONCE_MAX);
        restored.fold(Ok(()), |all, one| ready(all.and(one))).await
    }

    async fn restore(self, slug: Slug) -> Result<(), Problem> {
        if let Some(record) = self.store.restore(&slug, self.store.state.now()).await? {
            tracing::warn!(stream.slug = %slug, "the state had lost a stream with a key: it was put back");
            self.announce(event::STREAM_CREATED, &record).await;
        }
        Ok(())
    }

    /// Puts every declared stream in place as it is declared.
    ///
    /// # Errors
    /// The first of those of the state.
    pub async fn declare_all(&self) -> Result<(), Problem> {
        let slugs: Vec<_> = self.store.declared.streams().keys().cloned().collect();
        self.declare_each(slugs, true).await
    }

    /// Puts several in place at once; one that cannot be holds up no other.
    async fn declare_each(
        &self,
        slugs: impl IntoIterator<Item = Slug>,
        overrule: bool,
    ) -> Result<(), Problem> {
        let declaring: Vec<_> = slugs
            .into_iter()
            .map(|slug| self.clone().declare(slug, overrule))
            .collect();
        let declared = stream::iter(declaring).buffer_unordered(DECLARED_AT_ONCE_MAX);
        declared.fold(Ok(()), |all, one| ready(all.and(one))).await
    }

    async fn declare(self, slug: Slug, overrule: bool) -> Result<(), Problem> {
        if let Some(Declaration {
            changed: Changed { record, fence },
            made,
        }) = self
            .store
            .declare(&slug, overrule, self.store.state.now())
            .await?
        {
            tracing::info!(stream.slug = %slug, made, "a declared stream was put in place");
            self.store.memory.note(&record);
            if let Some((origin, epoch)) = fence {
                drop(self.fence(origin, &slug, epoch, record.fence_reason));
            }
            let subject = if made {
                event::STREAM_CREATED
            } else {
                event::STREAM_CHANGED
            };
            self.announce(subject, &record).await;
        }
        Ok(())
    }

    /// The stream; one that ought to be there and is not is put back first.
    async fn known(&self, slug: &Slug) -> Result<Option<Record>, Problem> {
        let known = self.store.stream(slug).await?;
        if known.is_some() {
            return Ok(known);
        }
        if self.declares(slug).is_some() {
            self.clone().declare(slug.clone(), false).await?;
        } else if self.store.memory.of(slug).is_some() {
            self.clone().restore(slug.clone()).await?;
        } else {
            return Ok(None);
        }
        self.store.stream(slug).await
    }

    /// The declaration of a stream, if there is one: its key, if that says one.
    fn declares(&self, slug: &Slug) -> Option<Option<StoredKey>> {
        self.store.declared.streams().get(slug).cloned()
    }

    /// How far the stream is, by the asker, the origin and the relays that carry it; refuses a second publisher.
    async fn ask_relays(&self, ask: &GoLive, seen: Option<&Record>) -> Result<Vec<Heard>, Error> {
        let origin = origin_to_ask(seen, ask.node);
        let relays = self.with_audience(|audience| audience.relays(&ask.slug));
        let others = relays
            .into_iter()
            .filter(|relay| *relay != ask.node && Some(*relay) != origin);
        let origin = async {
            match origin {
                Some(origin) => self.probe(origin, &ask.slug, ORIGIN_ANSWERS_WITHIN).await,
                None => None,
            }
        };
        let others =
            join_all(others.map(|relay| self.probe(relay, &ask.slug, RELAY_ANSWERS_WITHIN)));
        let (origin, others) = join(origin, others).await;
        refuse_if_alive(ask, seen.map_or(0, |record| record.epoch), origin.as_ref())?;
        let answers = origin
            .iter()
            .chain(others.iter().flatten())
            .map(Heard::from_probe);
        Ok(std::iter::once(Heard::from_asker(ask))
            .chain(answers)
            .collect())
    }

    /// What `relay` says of the stream; none if it does not answer, which is what a dead one does.
    async fn probe(&self, relay: NodeId, slug: &Slug, within: Duration) -> Option<Probed> {
        self.bus
            .request_node(relay, &Probe { slug: slug.clone() }, within)
            .await
            .ok()
    }

    /// Tells an old origin; whoever waits for it knows that it was told. It may be dead; if it is not, its next heartbeat
    /// has it told again.
    fn fence(&self, node: NodeId, slug: &Slug, epoch: u64, reason: FenceReason) -> JoinHandle<()> {
        let bus = self.bus.clone();
        let fence = Fence {
            slug: slug.clone(),
            epoch,
            reason,
        };
        self.tasks.spawn(async move {
            if let Err(error) = bus.request_node(node, &fence, ORIGIN_ANSWERS_WITHIN).await {
                tracing::debug!(node.id = %node, stream.slug = %fence.slug, %error, "the old origin was not reached");
            }
        })
    }

    /// Keeps the index of streams on air. What fails here the next sweep mends.
    async fn index(&self, slug: &Slug, on_air: bool) {
        if let Err(error) = self.store.index(slug, on_air).await {
            tracing::debug!(stream.slug = %slug, %error, "the index of streams on air was not written");
        }
    }

    async fn announce(&self, subject: &str, record: &Record) {
        self.index(&record.slug, record.on_air()).await;
        let changed = StreamChanged {
            slug: record.slug.clone(),
            stream: Some(self.shown(record)),
        };
        self.publish(subject, changed).await;
    }

    async fn publish(&self, subject: &str, changed: StreamChanged) {
        if let Err(error) = self.bus.publish(subject, &changed).await
            && let Some(times) = NOT_TOLD.occurred(error.code.as_str())
        {
            tracing::warn!(stream.slug = %changed.slug, %error, times, "a change was not told");
        }
    }

    fn shown(&self, record: &Record) -> Stream {
        record.shown(self.with_audience(|audience| audience.viewers(&record.slug)))
    }

    fn with_audience<T>(&self, read: impl FnOnce(&Audience) -> T) -> T {
        read(&read_lock(&self.audience))
    }
}
