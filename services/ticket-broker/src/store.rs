//! What the broker stores in the shared state. All brokers read and write the same entries.
//!
//! | collection | key | content | kept for |
//! | --- | --- | --- | --- |
//! | `ledgers` | provider | its promises: [`Ledger`] | 60 s after the last write |
//! | `tickets` | ticket | in whose ledger it is, and why | 20 min after its last token |
//! | `relays` | relay | its last report: [`RelayRecord`] | 60 s after that report |
//! | `carriers` | stream, relay | how the relay carries the stream | one lease (6 s) |
//! | `upstreams` | stream, relay | the provider of the relay's last ticket | 5 s |
//! | `candidates` | see [`carriers`] | an index of relays that may provide | one lease (6 s) |
//! | `ledger-generation` | | a random number: see [`Store::generation`] | always |
//! | `ticket-keys` | | the key that signs tickets, if no file has it | always |

pub mod carriers;
pub mod ledgers;
pub mod locations;
pub mod relays;

use crate::error::Error;
use crate::ledger::Ledger;
use astral_backend::{Change, State};
use astral_env::Env;
use astral_proto::limits::LEASE;
use astral_proto::{NodeId, UnixMillis};
use carriers::CarrierRecords;
use ledgers::Ledgers;
use locations::TicketLocations;
use relays::{RelayRecord, Relays};

const GENERATION: &str = "ledger-generation";
const GENERATION_ID: &str = "now";

/// Everything that the broker stores. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// The shared state.
    pub state: State,
    /// What each relay last reported.
    pub relays: Relays,
    /// Which relays carry a stream.
    pub carriers: CarrierRecords,
    /// What each provider has promised.
    pub ledgers: Ledgers,
    /// In whose ledger each ticket is.
    pub locations: TicketLocations,
}

impl Store {
    /// The store in `state`. It draws its random numbers from `env`.
    pub fn new(state: State, env: &Env) -> Self {
        Self {
            relays: Relays::new(state.clone()),
            carriers: CarrierRecords::new(state.clone(), env.split("carriers")),
            ledgers: Ledgers::new(state.clone(), env.split("ledgers")),
            locations: TicketLocations::new(state.clone()),
            state,
        }
    }

    /// The generation of all ledgers. If the state has none, as at first and after a loss, it
    /// becomes `fresh`. A new generation shows that the state was lost. From then on a provider
    /// grants nothing until its heartbeat names the new generation, because its ledger may lack
    /// tickets.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn generation(&self, fresh: u32) -> Result<u32, Error> {
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
        let generation = self.state.update(GENERATION, GENERATION_ID, decide);
        Ok(generation.await?)
    }

    /// Removes the record of a relay, those of the streams that it carries, and its ledger. Returns
    /// what it last reported and its ledger, or None if it was unknown.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn remove_relay(
        &self,
        node: NodeId,
    ) -> Result<Option<(RelayRecord, Option<Ledger>)>, Error> {
        let relay = self.relays.get(node).await?;
        for (slug, since) in relay.iter().flat_map(|relay| &relay.streams) {
            self.carriers.remove(slug, node).await?;
            if let Some(candidate) = &since.candidate {
                self.carriers.unlist(candidate).await?;
            }
        }
        let ledger = self.ledgers.remove(node).await?;
        self.relays.remove(node).await?;
        Ok(relay.map(|relay| (relay, ledger)))
    }
}

/// Whether something that happened at `at` is less than one lease ago.
fn is_recent(at: UnixMillis, now: UnixMillis) -> bool {
    now.since(at) < LEASE
}

#[cfg(test)]
mod tests;
