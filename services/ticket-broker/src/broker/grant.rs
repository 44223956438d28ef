//! Granting: see who carries the stream, choose, reserve, sign.

use super::repeat::ticket_id;
use super::{Broker, told};
use crate::carrier::{Carrier, Carriers};
use crate::judge::why::Why;
use crate::judge::{
    Asker, Candidate, draw_provider, judge, rank_standbys, supernode_to_fetch, ticket_kbps,
    tries_max,
};
use crate::ledger::{Entry, Refusal};
use crate::snapshot::CandidateSnapshot;
use crate::store::{Relay, TicketLocation};
use astral_backend::Asked;
use astral_proto::message::{Fetch, LEFT_MAX, Offer, RequestTicket, SwitchTicket, Tickets, event};
use astral_proto::model::Role;
use astral_proto::{Code, NodeId, Problem, Slug, TicketId};
use futures_util::future::try_join_all;
use std::collections::HashSet;
use std::time::Duration;
use tokio::join;
use uuid::Uuid;

/// How long a supernode may take to fetch a stream for its child.
const FETCHED_WITHIN: Duration = Duration::from_secs(4);
/// Providers that a relay may refuse.
const EXCLUDE_MAX: usize = 64;
/// Lines kept of why a provider was chosen.
const WHY_LINES_MAX: usize = 20;

/// A ticket to be granted.
pub(super) struct Want<'a> {
    pub(super) slug: &'a Slug,
    pub(super) asker: &'a Asker,
    pub(super) snapshot: &'a CandidateSnapshot,
    pub(super) carriers: &'a Carriers,
    pub(super) standby: bool,
    /// The request that it answers, from which the ticket's id follows.
    pub(super) request: Uuid,
    pub(super) why: Vec<Why>,
}

/// A ticket that its provider's ledger has.
struct Taken {
    id: TicketId,
    provider: NodeId,
    advertise: String,
    entry: Entry,
    why: Vec<Why>,
}

impl Broker {
    /// Grants a ticket, and a standby if there is one.
    ///
    /// # Errors
    /// `not_found` if there is no such stream; `unavailable` if nobody can provide it now; `full` if those who could
    /// have no room.
    pub async fn request(self, ask: RequestTicket, asked: Asked) -> Result<Tickets, Problem> {
        if ask.exclude.len() > EXCLUDE_MAX {
            let detail = format!(
                "{} excluded providers are over the limit of {EXCLUDE_MAX}",
                ask.exclude.len()
            );
            return Err(Problem::new(Code::BadRequest, detail));
        }
        if asked.is_repeated()
            && let Some(tickets) = self.granted_before(asked.request).await?
        {
            return Ok(tickets);
        }
        if !ask.exclude.is_empty() {
            self.store.note_failed(ask.subscriber, &ask.exclude).await?;
        }
        self.take_back(&ask).await?;
        let relay = self.store.relay(ask.subscriber).await?;
        let failed = self.failed(relay.as_ref());
        let asker = asker(
            ask.subscriber,
            relay.as_ref(),
            ask.exclude.into_iter().collect(),
        );
        // Of who carries nothing there is no more to be known.
        let carries = relay
            .as_ref()
            .is_some_and(|relay| relay.streams.contains_key(&ask.slug));
        let to_meet = || {
            asker
                .primary
                .into_iter()
                .chain(carries.then_some(asker.node))
        };
        let mut snapshot = self.snapshot(&ask.slug).await?;
        self.load_ancestors(&ask.slug, &snapshot, to_meet()).await?;
        let mut why = Vec::new();
        if let Some(primary) = supernode_to_fetch(&asker, &snapshot.shortlist(&asker)) {
            let fetched = Box::pin(self.fetch(primary, &ask.slug)).await;
            // That may have taken a while.
            snapshot = self.snapshot(&ask.slug).await?;
            match fetched {
                Ok(carrier) => snapshot.add([(primary, carrier.into())].into()),
                Err(problem) => why.push(Why::Said(format!(
                    "{primary}: did not fetch the stream, {problem}"
                ))),
            }
        }
        match self
            .grant(&ask.slug, asked.request, &asker, &snapshot, (&why, &failed))
            .await
        {
            Err(problem) if matches!(problem.code, Code::Full | Code::Unavailable) => {
                let snapshot = self.newer_snapshot(&ask.slug).await?;
                self.load_ancestors(&ask.slug, &snapshot, to_meet()).await?;
                self.grant(&ask.slug, asked.request, &asker, &snapshot, (&why, &failed))
                    .await
            }
            granted => granted,
        }
    }

    /// Releases what the asker held before, so that nothing is reserved for it twice.
    async fn take_back(&self, ask: &RequestTicket) -> Result<(), Problem> {
        if ask.left.len() > LEFT_MAX {
            let detail = format!(
                "{} tickets given back are over the limit of {LEFT_MAX}",
                ask.left.len()
            );
            return Err(Problem::new(Code::BadRequest, detail));
        }
        try_join_all(ask.left.iter().map(|id| self.release(*id, ask.subscriber)))
            .await
            .map(drop)
    }

    async fn grant(
        &self,
        slug: &Slug,
        request: Uuid,
        asker: &Asker,
        snapshot: &CandidateSnapshot,
        (why, failed): (&[Why], &HashSet<NodeId>),
    ) -> Result<Tickets, Problem> {
        let carriers = &snapshot.shortlist(asker);
        let mut why = why.to_vec();
        let fit = judge(asker, carriers, &mut why);
        let want = |standby| Want {
            slug,
            asker,
            snapshot,
            carriers,
            standby,
            request,
            why: why.clone(),
        };
        let active = self.take(want(false), &fit).await?;
        let mut others = rank_standbys(&fit, carriers, active.provider);
        others.retain(|candidate| !failed.contains(&candidate.carrier.node.uuid));
        // Neither needs the other.
        let (active, standby) = join!(
            self.offer(asker, snapshot, active),
            self.reserve(want(true), &others)
        );
        Ok(Tickets {
            active: active?,
            standby: standby.ok(),
        })
    }

    /// A standby for a relay that has switched, if there is one.
    pub(super) async fn next_standby(
        &self,
        ask: &SwitchTicket,
        request: Uuid,
        active: NodeId,
        left: Option<NodeId>,
    ) -> Option<Offer> {
        if let Some(left) = left {
            self.store.note_failed(ask.subscriber, &[left]).await.ok()?;
        }
        let relay = self.store.relay(ask.subscriber).await.ok()?;
        let exclude = self
            .failed(relay.as_ref())
            .into_iter()
            .chain(left)
            .collect();
        let asker = asker(ask.subscriber, relay.as_ref(), exclude);
        let snapshot = self.snapshot(&ask.slug).await.ok()?;
        self.load_ancestors(
            &ask.slug,
            &snapshot,
            asker.primary.into_iter().chain([active]),
        )
        .await
        .ok()?;
        self.note_upstream(&ask.slug, &snapshot, asker.node, active)
            .await
            .ok()?;
        let carriers = snapshot.shortlist(&asker);
        let mut why = Vec::new();
        let fit = judge(&asker, &carriers, &mut why);
        let slug = &ask.slug;
        let asker = &asker;
        let snapshot = &snapshot;
        let carriers = &carriers;
        let want = Want {
            slug,
            asker,
            snapshot,
            carriers,
            standby: true,
            request,
            why,
        };
        self.reserve(want, &rank_standbys(&fit, carriers, active))
            .await
            .ok()
    }

    /// Providers that have failed a relay lately.
    fn failed(&self, relay: Option<&Relay>) -> HashSet<NodeId> {
        let now = self.store.state.now();
        relay
            .into_iter()
            .flat_map(|relay| relay.failed_lately(now))
            .collect()
    }

    /// Makes a supernode fetch the stream.
    pub(super) async fn fetch(&self, supernode: NodeId, slug: &Slug) -> Result<Carrier, Problem> {
        let absent = || Problem::new(Code::Unavailable, "it has not been heard of");
        let relay = self.store.relay(supernode).await?.ok_or_else(absent)?;
        let busy = |_| Problem::new(Code::TooManyRequests, "too many wait for others");
        let _waiting = self.fetches.try_acquire().map_err(busy)?;
        let fetched = self
            .bus
            .request_node(supernode, &Fetch { slug: slug.clone() }, FETCHED_WITHIN)
            .await?;
        if fetched.carried.slug != *slug {
            return Err(Problem::new(Code::Internal, "it fetched another"));
        }
        self.hear_carried(relay.node, fetched.carried).await
    }

    /// Takes a ticket of a provider that has room, and makes it known.
    pub(super) async fn reserve<Rank: Ord + Copy>(
        &self,
        want: Want<'_>,
        fit: &[Candidate<'_, Rank>],
    ) -> Result<Offer, Problem> {
        let asker = want.asker;
        let snapshot = want.snapshot;
        let taken = self.take(want, fit).await?;
        self.offer(asker, snapshot, taken).await
    }

    /// Draws providers until one has room.
    async fn take<Rank: Ord + Copy>(
        &self,
        want: Want<'_>,
        fit: &[Candidate<'_, Rank>],
    ) -> Result<Taken, Problem> {
        let mut refused = HashSet::new();
        let mut full = false;
        let mut why = want.why;
        for number in 0..tries_max(want.standby) {
            let Some(drawn) = draw_provider(fit, &refused, &want.asker.rtts, &mut rand::rng())
            else {
                break;
            };
            let carrier = drawn.carrier;
            let id = ticket_id(want.request, want.standby, number);
            let provider = carrier.node.uuid;
            let now = self.store.state.now();
            let charge = ticket_kbps(want.carriers, carrier);
            let hops = carrier.hops() + 1;
            if !want.standby {
                // Before the ledger answers, so that those who ask meanwhile draw others.
                want.snapshot.note(|index| index.charge(provider, charge));
            }
            let entry = Entry::offered(
                want.slug.clone(),
                want.asker.node,
                want.standby,
                charge,
                hops,
                now,
            );
            match self
                .store
                .offer(id, &entry, provider, (now, self.truce.holds()))
                .await?
            {
                Ok(advertise) => {
                    why.truncate(WHY_LINES_MAX);
                    why.push(drawn.why());
                    return Ok(Taken {
                        id,
                        provider,
                        advertise,
                        entry,
                        why,
                    });
                }
                Err(refusal) => {
                    full |= refusal == Refusal::Full;
                    // Who has standbys enough may have room for tickets.
                    if !want.standby {
                        want.snapshot.note(|index| index.mark_full(provider));
                    }
                    why.push(Why::Said(format!("{provider}: {}", refusal.reason())));
                    refused.insert(provider);
                }
            }
        }
        Err(nobody(want.slug, full, &why))
    }

    /// Makes known where a ticket is, and signs it.
    async fn offer(
        &self,
        asker: &Asker,
        snapshot: &CandidateSnapshot,
        taken: Taken,
    ) -> Result<Offer, Problem> {
        let Taken {
            id,
            provider,
            advertise,
            entry,
            why,
        } = taken;
        let place = TicketLocation {
            provider,
            slug: entry.slug.clone(),
            why,
        };
        let noted = async {
            match entry.standby {
                true => Ok(()),
                false => {
                    self.note_upstream(&entry.slug, snapshot, asker.node, provider)
                        .await
                }
            }
        };
        tokio::try_join!(self.store.put_place(id, &place), noted)?;
        self.tell(event::TICKET_CREATED, told(id, provider, &entry))
            .await;
        Ok(self
            .keys
            .offer(&Self::claims(id, provider, &entry), advertise))
    }

    /// Notes that a relay pulls from `provider` before it says so itself.
    async fn note_upstream(
        &self,
        slug: &Slug,
        snapshot: &CandidateSnapshot,
        node: NodeId,
        provider: NodeId,
    ) -> Result<(), Problem> {
        let now = self.store.state.now();
        snapshot.grant(node, provider, now);
        self.store.note_upstream(slug, node, provider, now).await
    }
}

pub(super) fn asker(node: NodeId, relay: Option<&Relay>, exclude: HashSet<NodeId>) -> Asker {
    Asker {
        node,
        role: relay.map_or(Role::Node, |relay| relay.node.role),
        primary: relay.and_then(|relay| relay.node.primary_supernode),
        rtts: relay
            .map(|relay| relay.rtts.iter().copied().collect())
            .unwrap_or_default(),
        exclude,
    }
}

fn nobody(slug: &Slug, full: bool, why: &[Why]) -> Problem {
    let code = if full { Code::Full } else { Code::Unavailable };
    let lines: Vec<String> = why.iter().map(ToString::to_string).collect();
    let why = if lines.is_empty() {
        "none carries it".to_string()
    } else {
        lines.join("; ")
    };
    let why: String = why.chars().take(1_000).collect();
    Problem::new(
        code,
        format!("no relay can provide stream {:?} now: {why}", slug.as_str()),
    )
}
