//! Granting: see who carries the stream, choose, reserve, sign.

use super::{Broker, told};
use crate::carrier::{Carrier, Carriers};
use crate::choose::{Asker, Candidate, TRIES_MAX, draw, judge, kbps, standbys, to_fetch_first};
use crate::ledger::{Entry, Moment, Refusal};
use crate::roster::Roster;
use crate::store::{Place, Relay};
use astral_backend::unix_millis;
use astral_proto::message::{Fetch, GetStream, Offer, Probe, RequestTicket, SwitchTicket, Tickets, event};
use astral_proto::model::{Role, StreamState};
use astral_proto::{Code, NodeId, Problem, Slug, TicketId};
use std::collections::HashSet;
use std::time::Duration;

/// How long the directory may take.
const DIRECTORY_ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How long an origin not heard of yet may take.
const ORIGIN_ANSWERS_WITHIN: Duration = Duration::from_millis(300);
/// How long a supernode may take to fetch a stream for its child.
const FETCHED_WITHIN: Duration = Duration::from_secs(4);
/// Providers that a relay may refuse.
const EXCLUDE_MAX: usize = 64;
/// Lines kept of why a provider was chosen.
const WHY_LINES_MAX: usize = 32;

/// A ticket to be granted.
pub(super) struct Want<'a> {
    pub(super) slug: &'a Slug,
    pub(super) asker: &'a Asker,
    pub(super) carriers: &'a Carriers,
    pub(super) standby: bool,
    pub(super) why: Vec<String>,
}

impl Broker {
    /// Grants a ticket, and a standby if there is one.
    ///
    /// # Errors
    /// `not_found` if there is no such stream; `unavailable` if nobody can provide it now; `full` if those who could
    /// have no room.
    pub async fn request(self, ask: RequestTicket) -> Result<Tickets, Problem> {
        if ask.exclude.len() > EXCLUDE_MAX {
            let detail =
                format!("{} excluded providers are over the limit of {EXCLUDE_MAX}", ask.exclude.len());
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let relay = self.store.relay(ask.subscriber).await?;
        let asker = asker(ask.subscriber, relay.as_ref(), ask.exclude.into_iter().collect());
        let mut carriers = self.carriers(&ask.slug).await?;
        let mut why = Vec::new();
        if let Some(primary) = to_fetch_first(&asker, &carriers) {
            match self.fetch(primary, &ask.slug).await {
                Ok(()) => carriers = self.store.carriers(&ask.slug).await?,
                Err(problem) => why.push(format!("{primary}: did not fetch the stream, {problem}")),
            }
        }
        let carriers = Roster::from(carriers).shortlist(&asker, &mut rand::rng());
        let fit = judge(&asker, &carriers, &mut why);
        let want =
            |standby| Want { slug: &ask.slug, asker: &asker, carriers: &carriers, standby, why: why.clone() };
        let active = self.reserve(want(false), &fit).await?;
        if let Some(relay) = relay {
            let now = unix_millis();
            self.store.note_upstream(&ask.slug, &relay.node, active.provider, now).await?;
        }
        let standby = self.reserve(want(true), &standbys(&fit, &carriers, active.provider)).await.ok();
        Ok(Tickets { active, standby })
    }

    /// A standby for a relay that has switched, if there is one.
    pub(super) async fn next_standby(
        &self,
        ask: &SwitchTicket,
        active: NodeId,
        left: Option<NodeId>,
    ) -> Option<Offer> {
        let relay = self.store.relay(ask.subscriber).await.ok()?;
        if let Some(relay) = &relay {
            self.store.note_upstream(&ask.slug, &relay.node, active, unix_millis()).await.ok()?;
        }
        let asker = asker(ask.subscriber, relay.as_ref(), left.into_iter().collect());
        let carriers = self.carriers(&ask.slug).await.ok()?;
        let carriers = Roster::from(carriers).shortlist(&asker, &mut rand::rng());
        let mut why = Vec::new();
        let fit = judge(&asker, &carriers, &mut why);
        let want = Want { slug: &ask.slug, asker: &asker, carriers: &carriers, standby: true, why };
        self.reserve(want, &standbys(&fit, &carriers, active)).await.ok()
    }

    /// Who carries a stream that is on air. An origin that has not been heard of as such is asked.
    async fn carriers(&self, slug: &Slug) -> Result<Carriers, Problem> {
        let mut carriers = self.store.carriers(slug).await?;
        let stream = match self.bus.request(&GetStream { slug: slug.clone() }, DIRECTORY_ANSWERS_WITHIN).await
        {
            Ok(stream) => stream,
            Err(problem) if carriers.is_empty() || problem.code == Code::NotFound => return Err(problem),
            // Without a directory, who carries the stream is enough.
            Err(_) => return Ok(carriers),
        };
        if stream.state == StreamState::Ended {
            let detail = format!("stream {:?} has ended", slug.as_str());
            return Err(Problem::new(Code::Gone, detail));
        }
        let Some(origin) = stream.origin else {
            let detail = format!("stream {:?} is not live", slug.as_str());
            return Err(Problem::new(Code::Unavailable, detail));
        };
        let known = |carrier: &Carrier| {
            carrier.is_origin()
                && carrier.carried.as_ref().is_some_and(|carried| carried.epoch >= stream.epoch)
        };
        if !carriers.get(&origin).is_some_and(known) {
            self.probe(origin, slug).await?;
            carriers = self.store.carriers(slug).await?;
        }
        carriers.retain(|node, carrier| *node == origin || !carrier.is_origin());
        Ok(carriers)
    }

    /// Asks a new origin how it carries the stream, which its next heartbeat will tell too.
    async fn probe(&self, origin: NodeId, slug: &Slug) -> Result<(), Problem> {
        let Some(relay) = self.store.relay(origin).await? else { return Ok(()) };
        let probe = Probe { slug: slug.clone() };
        let Ok(probed) = self.bus.request_node(origin, &probe, ORIGIN_ANSWERS_WITHIN).await else {
            return Ok(());
        };
        match probed.carried {
            Some(carried) if carried.slug == *slug => {
                self.store.hear_carrier(&relay.node, &carried, unix_millis()).await
            }
            _ => Ok(()),
        }
    }

    /// Makes a supernode fetch the stream.
    async fn fetch(&self, supernode: NodeId, slug: &Slug) -> Result<(), Problem> {
        let absent = || Problem::new(Code::Unavailable, "it has not been heard of");
        let relay = self.store.relay(supernode).await?.ok_or_else(absent)?;
        let busy = |_| Problem::new(Code::TooManyRequests, "too many wait for others");
        let _waiting = self.fetches.try_acquire().map_err(busy)?;
        let fetched = self.bus.request_node(supernode, &Fetch { slug: slug.clone() }, FETCHED_WITHIN).await?;
        if fetched.carried.slug != *slug {
            return Err(Problem::new(Code::Internal, "it fetched another"));
        }
        self.store.hear_carrier(&relay.node, &fetched.carried, unix_millis()).await
    }

    /// Draws providers until one has room, and signs a ticket of it.
    pub(super) async fn reserve<Rank: Ord + Copy>(
        &self,
        want: Want<'_>,
        fit: &[Candidate<'_, Rank>],
    ) -> Result<Offer, Problem> {
        let mut refused = HashSet::new();
        let mut full = false;
        let mut why = want.why;
        let generation = self.generation().await?;
        for _ in 0..TRIES_MAX {
            let Some(carrier) = draw(fit, &refused, &want.asker.rtts, &mut rand::rng()) else { break };
            let (id, provider, now) = (TicketId::random(), carrier.node.uuid, unix_millis());
            let charge = kbps(want.carriers, carrier);
            let hops = carrier.hops() + 1;
            let entry = Entry::offered(want.slug.clone(), want.asker.node, want.standby, charge, hops, now);
            let why_here = why.iter().take(WHY_LINES_MAX).cloned().chain([format!("{provider}: chosen")]);
            let place = Place { provider, slug: want.slug.clone(), why: why_here.collect() };
            let at = Moment { now, truce: self.truce.holds(now), generation };
            match self.store.offer(id, &entry, &place, at).await? {
                Ok(advertise) => {
                    self.tell(event::TICKET_CREATED, told(id, &place, entry.subscriber, entry.standby)).await;
                    return Ok(self.keys.offer(&Self::claims(id, provider, &entry), advertise));
                }
                Err(refusal) => {
                    full |= refusal == Refusal::Full;
                    why.push(format!("{provider}: {}", refusal.reason()));
                    refused.insert(provider);
                }
            }
        }
        Err(nobody(want.slug, full, &why))
    }
}

fn asker(node: NodeId, relay: Option<&Relay>, exclude: HashSet<NodeId>) -> Asker {
    Asker {
        node,
        role: relay.map_or(Role::Node, |relay| relay.node.role),
        primary: relay.and_then(|relay| relay.node.primary_supernode),
        rtts: relay.map(|relay| relay.rtts.iter().copied().collect()).unwrap_or_default(),
        exclude,
    }
}

fn nobody(slug: &Slug, full: bool, why: &[String]) -> Problem {
    let code = if full { Code::Full } else { Code::Unavailable };
    let why = if why.is_empty() { "none carries it".to_string() } else { why.join("; ") };
    let why: String = why.chars().take(1_000).collect();
    Problem::new(code, format!("no relay can provide stream {:?} now: {why}", slug.as_str()))
}
