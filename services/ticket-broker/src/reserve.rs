//! Third step of a ticket request: puts the ticket into the ledger of a provider.

use crate::broker::Broker;
use crate::error::Error;
use crate::gather::Candidates;
use crate::judge::draw::{Choice, draw_provider, tries_max};
use crate::judge::why::Why;
use crate::judge::{Decision, ticket_kbps};
use crate::ledger::{Entry, Refusal};
use astral_proto::{NodeId, Slug, TicketId};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Most lines of explanation that a ticket keeps, besides the last one.
const WHY_LINES_MAX: usize = 20;
/// Longest explanation in an error, in characters.
const WHY_CHARACTERS_MAX: usize = 1_000;

/// The outcome of this step: a ticket that is in the ledger of its provider.
/// [`record`](crate::record) makes it known.
pub struct Reservation<'a> {
    /// The candidates from which the provider was chosen.
    pub candidates: &'a Candidates,
    /// The ticket.
    pub id: TicketId,
    /// The provider, whose ledger has the ticket.
    pub provider: NodeId,
    /// host:port to pull from.
    pub advertise: String,
    /// The ticket as it is in the ledger.
    pub entry: Entry,
    /// The lines that explain why this provider was chosen.
    pub why: Vec<Why>,
}

/// Draws one of the best providers and asks its ledger for a ticket. If the ledger refuses, tries
/// the remaining providers in the same way, at most [`tries_max`] in all.
///
/// # Errors
/// If no ledger takes the ticket: [`Error::ProvidersFull`] if at least one was full, else
/// [`Error::NoProvider`]. Those of the state.
pub async fn reserve<'a>(
    broker: &Broker,
    decision: &Decision<'a>,
) -> Result<Reservation<'a>, Error> {
    let candidates = decision.candidates;
    let request = &candidates.request;
    let mut why = decision.why.clone();
    let mut refused = BTreeSet::new();
    let mut some_full = false;
    for attempt in 0..tries_max(decision.standby) {
        let rtts = &request.asker.rtts;
        let Some(choice) =
            draw_provider(&decision.ranked, &refused, rtts, &mut broker.env.random())
        else {
            break;
        };
        let provider = choice.carrier.node.uuid;
        let id = ticket_id(request.id, decision.standby, attempt);
        match offer(broker, candidates, &choice, id, decision.standby).await? {
            Ok((entry, advertise)) => {
                why.truncate(WHY_LINES_MAX);
                why.push(choice.why());
                return Ok(Reservation {
                    candidates,
                    id,
                    provider,
                    advertise,
                    entry,
                    why,
                });
            }
            Err(refusal) => {
                some_full |= refusal == Refusal::Full;
                why.push(Why::text(provider, refusal.reason()));
                refused.insert(provider);
            }
        }
    }
    Err(no_provider(&request.slug, some_full, &why))
}

/// Offers a ticket of the chosen provider. Returns the ticket and the address to pull from, or why
/// the ledger refuses.
async fn offer(
    broker: &Broker,
    candidates: &Candidates,
    choice: &Choice<'_>,
    id: TicketId,
    standby: bool,
) -> Result<Result<(Entry, String), Refusal>, Error> {
    let request = &candidates.request;
    let provider = choice.carrier.node.uuid;
    let now = broker.store.state.now();
    let entry = Entry::offered(
        request.slug.clone(),
        request.asker.node,
        standby,
        ticket_kbps(&candidates.carriers, choice.carrier),
        choice.carrier.hops() + 1,
        now,
    );
    if !standby {
        // Charged before the ledger answers, so that concurrent requests see it and draw other
        // providers.
        candidates.snapshot.charge(provider, entry.kbps);
    }
    let truce = broker.truce.holds();
    let ledgers = &broker.store.ledgers;
    let answer = ledgers.offer(id, &entry, provider, now, truce).await?;
    // Until the next snapshot, other requests try a provider that refused last. A refused standby
    // does not show that: the provider may still have room for tickets in use.
    if answer.is_err() && !standby {
        candidates.snapshot.mark_full(provider);
    }
    Ok(answer.map(|advertise| (entry, advertise)))
}

/// Returns the id of the ticket that a request is offered in attempt `attempt`. It is computed from
/// the id of the request, so that another replica that handles the same request again can look up
/// what was granted (`repeat.rs`).
pub fn ticket_id(request: Uuid, standby: bool, attempt: usize) -> TicketId {
    let kind = 2 * attempt as u128 + u128::from(standby);
    TicketId(Uuid::from_u128(request.as_u128() ^ (kind + 1)))
}

fn no_provider(slug: &Slug, some_full: bool, why: &[Why]) -> Error {
    let slug = slug.clone();
    let lines: Vec<String> = why.iter().map(ToString::to_string).collect();
    let why = if lines.is_empty() {
        "no relay carries it".to_string()
    } else {
        lines.join("; ").chars().take(WHY_CHARACTERS_MAX).collect()
    };
    if some_full {
        Error::ProvidersFull { slug, why }
    } else {
        Error::NoProvider { slug, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_of_a_request_has_an_id_of_its_own_and_the_same_again() {
        let request = Uuid::new_v4();
        let ids = |standby| {
            (0..tries_max(standby)).map(move |attempt| ticket_id(request, standby, attempt))
        };
        let all: BTreeSet<_> = ids(true).chain(ids(false)).collect();
        assert_eq!(all.len(), tries_max(true) + tries_max(false));
        assert_eq!(ids(true).chain(ids(false)).collect::<BTreeSet<_>>(), all);
    }

    #[test]
    fn an_explanation_in_an_error_is_bounded() {
        let node = NodeId::random();
        let why = vec![Why::text(node, "it is full"); 100];
        let slug: Slug = "demo".parse().unwrap();
        match no_provider(&slug, true, &why) {
            Error::ProvidersFull { why, .. } => {
                assert_eq!(why.chars().count(), WHY_CHARACTERS_MAX);
            }
            other => panic!("{other}"),
        }
        assert!(matches!(
            no_provider(&slug, false, &[]),
            Error::NoProvider { why, .. } if why == "no relay carries it"
        ));
    }
}
