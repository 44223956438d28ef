//! The broker's reads and writes.

mod carriers;
mod ledgers;
mod locations;

use crate::ledger::{Entry, Ledger, LinkChanges, Moment, Refusal};
use astral_backend::{Change, State};
use astral_proto::limits::LEASE;
use astral_proto::message::{HeldTicket, RenewTickets};
use astral_proto::model::Node;
use astral_proto::{NodeId, Problem, Slug, TicketId};
pub use carriers::candidate_id;
pub use ledgers::Outcome;
pub use locations::TicketLocation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const RELAYS: &str = "relays";
const GENERATION: &str = "ledger-generation";
const GENERATION_ID: &str = "now";
/// How long what is known of a relay outlives its lease, so that its tickets can be found and dropped.
const RELAY_KEPT: Duration = Duration::from_secs(60);

/// Most providers remembered because they have failed a relay; the oldest are forgotten.
const FAILED_MAX: usize = 16;

/// What a relay said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// The relay as the coordinator has it.
    pub node: Node,
    /// Round trips that it has measured, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
    /// What it carries.
    pub streams: BTreeMap<Slug, CandidateSince>,
    /// Tickets it pulls by or keeps as standby.
    pub holds: Vec<HeldTicket>,
    /// Providers that have failed it, each with when.
    #[serde(default)]
    pub failed: Vec<(NodeId, u64)>,
    /// When it said so, by its own clock; 0 if it has only registered since.
    pub sent_at: u64,
    /// When it was last heard.
    #[serde(default)]
    pub heard_at: u64,
}

/// How a relay stands among those who carry a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateSince {
    /// Where in the index of candidates; none if it is none.
    pub candidate: Option<String>,
    /// Since when, Unix milliseconds.
    pub since: u64,
}

/// What has changed by what a relay says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayChanges {
    /// Streams that it no longer carries.
    pub dropped: Vec<Slug>,
    /// Where it stands no longer in the index of candidates.
    pub unlisted: Vec<String>,
    /// How it stands now.
    pub streams: BTreeMap<Slug, CandidateSince>,
    /// Providers that have failed it lately, each with when.
    pub failed: Vec<(NodeId, u64)>,
    /// Whether it drains, and did not before.
    pub drains: bool,
}

/// Relays, who carries what, ledgers and tickets in the shared state.
#[derive(Clone)]
pub struct Store {
    /// What it is all in.
    pub state: State,
    ledgers: Arc<ledgers::Ledgers>,
    remembered: Arc<locations::Remembered>,
}

impl Store {
    /// In `state`.
    pub fn new(state: State) -> Self {
        Self {
            state,
            ledgers: Arc::default(),
            remembered: Arc::default(),
        }
    }

    /// The generation of all ledgers: `fresh` if there is none, as at first and after a wipe.
    pub async fn generation(&self, fresh: u32) -> Result<u32, Problem> {
        if let Some(generation) = self.state.get(GENERATION, GENERATION_ID).await? {
            return Ok(generation);
        }
        let decide = |known: Option<u32>| match known {
            Some(generation) => Change::Keep(generation),
            None => Change::Put {
                value: fresh,
                ttl: None,
                result: fresh,
            },
        };
        self.state.update(GENERATION, GENERATION_ID, decide).await
    }

    /// What a relay said last.
    pub async fn relay(&self, node: NodeId) -> Result<Option<Relay>, Problem> {
        self.state.get(RELAYS, &node.to_string()).await
    }

    /// Notes that providers have failed a relay, which is known then.
    pub async fn note_failed(&self, node: NodeId, providers: &[NodeId]) -> Result<(), Problem> {
        let now = self.state.now();
        let decide = |known: Option<Relay>| {
            let Some(mut relay) = known else {
                return Change::Keep(());
            };
            relay.note_failed(providers, now);
            put(relay, ())
        };
        self.state.update(RELAYS, &node.to_string(), decide).await
    }

    /// Keeps what a relay says; gives what is new, or none if it says nothing later than what is known.
    pub async fn hear_relay(
        &self,
        ask: &RenewTickets,
        now: u64,
    ) -> Result<Option<RelayChanges>, Problem> {
        let decide = |known: Option<Relay>| {
            let known = known.unwrap_or_else(|| Relay::registered(ask));
            let node = ask.node.clone();
            let rtts = ask.rtts.clone();
            if ask.heartbeat.sent_at == 0 {
                // A registration: the node's clock may have been set back, and what it carries is not told yet.
                return put(
                    Relay {
                        node,
                        rtts,
                        sent_at: 0,
                        heard_at: now,
                        ..known
                    },
                    None,
                );
            }
            if ask.heartbeat.sent_at <= known.sent_at {
                return Change::Keep(None);
            }
            let (relay, news) = known.hear(ask, now);
            put(relay, Some(news))
        };
        self.state
            .update(RELAYS, &ask.heartbeat.node.to_string(), decide)
            .await
    }

    /// Forgets a relay and its promises; what it said last, and what it had promised.
    pub async fn forget_relay(
        &self,
        node: NodeId,
    ) -> Result<Option<(Relay, Option<Ledger>)>, Problem> {
        let relay = self.relay(node).await?;
        for (slug, standing) in relay.iter().flat_map(|relay| &relay.streams) {
            self.forget_carrier(slug, node).await?;
            if let Some(candidate) = &standing.candidate {
                self.unlist(candidate).await?;
            }
        }
        let ledger = self.ledgers.remove(&self.state, node).await?;
        self.state.remove(RELAYS, &node.to_string()).await?;
        Ok(relay.map(|relay| (relay, ledger)))
    }

    /// One provider's ledger.
    pub async fn ledger(&self, provider: NodeId) -> Result<Option<Ledger>, Problem> {
        let read = |ledger: &mut Option<Ledger>| Outcome::Same(ledger.clone());
        self.ledgers.apply(&self.state, provider, read).await
    }

    /// Applies a rule to a ledger as one step; none if there is no such ledger.
    pub async fn in_ledger<R: Send + 'static>(
        &self,
        provider: NodeId,
        mut rule: impl FnMut(&mut Ledger) -> Outcome<R> + Send + 'static,
    ) -> Result<Option<R>, Problem> {
        let rule = move |ledger: &mut Option<Ledger>| match ledger {
            None => Outcome::Same(None),
            Some(ledger) => match rule(ledger) {
                Outcome::Changed(answer) => Outcome::Changed(Some(answer)),
                Outcome::Same(answer) => Outcome::Same(Some(answer)),
            },
        };
        self.ledgers.apply(&self.state, provider, rule).await
    }

    /// Takes the capacity and the links that a provider states into its ledger, whose tickets that have ended go; what
    /// it has promised now, the links that were news, and the tickets that have gone.
    pub async fn hear_provider(
        &self,
        ask: &Arc<RenewTickets>,
        at: Moment,
    ) -> Result<(u32, LinkChanges, Vec<(TicketId, Entry)>), Problem> {
        let said = ask.clone();
        let rule = move |ledger: &mut Option<Ledger>| {
            let ledger = ledger.get_or_insert_with(|| Ledger::new(&said.node));
            ledger.current = at.generation;
            let links = ledger.apply_heartbeat(&said.node, &said.heartbeat, at.now);
            let dropped = ledger.remove_expired(at.now, at.truce);
            Outcome::Changed((promised(ledger), links, dropped))
        };
        self.ledgers
            .apply(&self.state, ask.heartbeat.node, rule)
            .await
    }

    /// What a provider has promised.
    pub async fn promised(&self, provider: NodeId) -> Result<u32, Problem> {
        Ok(self.ledger(provider).await?.as_ref().map_or(0, promised))
    }

    /// Puts a ticket into a provider's ledger if it has room; gives the address to pull from.
    pub async fn offer(
        &self,
        id: TicketId,
        entry: &Entry,
        provider: NodeId,
        (now, truce): (u64, bool),
    ) -> Result<Result<String, Refusal>, Problem> {
        let entry = entry.clone();
        let offered = self.in_ledger(provider, move |ledger| {
            // By the generation as of its provider's last word: a ledger that is there came after any wipe.
            let at = Moment {
                now,
                truce,
                generation: ledger.current,
            };
            match ledger.offer(id, entry.clone(), at) {
                Ok(()) => Outcome::Changed(Ok(ledger.advertise.clone())),
                Err(refusal) => Outcome::Same(Err(refusal)),
            }
        });
        Ok(offered.await?.unwrap_or(Err(Refusal::Lost)))
    }
}

impl Relay {
    fn registered(ask: &RenewTickets) -> Self {
        let node = ask.node.clone();
        let rtts = ask.rtts.clone();
        Self {
            node,
            rtts,
            streams: BTreeMap::new(),
            holds: vec![],
            failed: vec![],
            sent_at: 0,
            heard_at: 0,
        }
    }

    fn hear(self, ask: &RenewTickets, now: u64) -> (Self, RelayChanges) {
        let said = &ask.heartbeat;
        let streams = said.streams.iter().map(|carried| {
            let candidate = candidate_id(&ask.node, carried);
            let before = self
                .streams
                .get(&carried.slug)
                .filter(|before| before.candidate == candidate);
            let since = before.map_or(now, |before| before.since);
            (carried.slug.clone(), CandidateSince { candidate, since })
        });
        let streams: BTreeMap<Slug, CandidateSince> = streams.collect();
        let left = |(slug, was): (&Slug, &CandidateSince)| {
            let now = streams
                .get(slug)
                .and_then(|standing| standing.candidate.as_ref());
            was.candidate.clone().filter(|was| now != Some(was))
        };
        let news = RelayChanges {
            unlisted: self.streams.iter().filter_map(left).collect(),
            dropped: self
                .streams
                .keys()
                .filter(|slug| !streams.contains_key(*slug))
                .cloned()
                .collect(),
            streams: streams.clone(),
            failed: self
                .failed
                .iter()
                .copied()
                .filter(|(_, at)| is_recent(*at, now))
                .collect(),
            drains: said.draining && self.node.state == astral_proto::model::NodeState::Up,
        };
        let node = ask.node.clone();
        let rtts = ask.rtts.clone();
        let holds = said.holds.clone();
        let failed = news.failed.clone();
        (
            Self {
                node,
                rtts,
                streams,
                holds,
                failed,
                sent_at: said.sent_at,
                heard_at: now,
            },
            news,
        )
    }

    /// Whether it has been heard within a lease.
    pub fn is_heard(&self, now: u64) -> bool {
        is_recent(self.heard_at, now)
    }

    /// Providers that have failed it within a lease, which is how long a dead one may still seem to live. It does not
    /// stand by at them.
    pub fn failed_lately(&self, now: u64) -> impl Iterator<Item = NodeId> {
        self.failed
            .iter()
            .filter(move |(_, at)| is_recent(*at, now))
            .map(|(provider, _)| *provider)
    }

    /// Notes that providers have failed it.
    fn note_failed(&mut self, providers: &[NodeId], now: u64) {
        self.failed
            .retain(|(provider, at)| is_recent(*at, now) && !providers.contains(provider));
        self.failed
            .extend(providers.iter().map(|provider| (*provider, now)));
        let more = self.failed.len().saturating_sub(FAILED_MAX);
        self.failed.drain(..more);
    }
}

fn is_recent(at: u64, now: u64) -> bool {
    now.saturating_sub(at) < LEASE.as_millis() as u64
}

fn promised(ledger: &Ledger) -> u32 {
    u32::try_from(ledger.promised_kbps()).unwrap_or(u32::MAX)
}

fn put<T, R>(value: T, result: R) -> Change<T, R> {
    Change::Put {
        value,
        ttl: Some(RELAY_KEPT),
        result,
    }
}

fn lease() -> Option<Duration> {
    Some(LEASE)
}

#[cfg(test)]
mod tests;
