//! The location of each ticket: in which provider's ledger it is, and why it was granted there.

use crate::error::Error;
use crate::judge::why::{Why, short};
use astral_backend::State;
use astral_proto::limits::TICKET_VALIDITY;
use astral_proto::{NodeId, Slug, TicketId};
use astral_runtime::lock;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const COLLECTION: &str = "tickets";
/// How long a location is kept. It is stored again whenever the token of its ticket is signed
/// again, which happens sooner.
const LOCATION_KEPT: Duration = Duration::from_secs(2 * TICKET_VALIDITY.as_secs());
/// Most locations in each of the two maps that a broker remembers.
const REMEMBERED_HALF: usize = 8_192;

/// In whose ledger a ticket is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketLocation {
    /// The provider, whose ledger the ticket is in.
    #[serde(rename = "p", with = "short")]
    pub provider: NodeId,
    /// The stream.
    #[serde(rename = "s")]
    pub slug: Slug,
    /// Who was considered, and why this provider was chosen.
    #[serde(rename = "w")]
    pub why: Vec<Why>,
}

/// The locations of all tickets. Cheap to clone.
///
/// A broker remembers the locations that it stored last, without their explanations. They are never
/// wrong, because a ticket never moves to another ledger. A location does not say whether the
/// ticket is still valid: the ledger decides that.
#[derive(Clone)]
pub struct TicketLocations {
    state: State,
    remembered: Arc<Mutex<Remembered>>,
}

/// Two maps of locations. When `younger` is full, it replaces `older`, whose content is forgotten.
/// So no list in the order of age is needed.
#[derive(Default)]
struct Remembered {
    younger: HashMap<TicketId, (NodeId, Slug)>,
    older: HashMap<TicketId, (NodeId, Slug)>,
}

impl TicketLocations {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            remembered: Arc::default(),
        }
    }

    /// The provider and the stream of a ticket. None if the ticket is unknown.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn find(&self, id: TicketId) -> Result<Option<(NodeId, Slug)>, Error> {
        if let Some(location) = self.remembered(id) {
            return Ok(Some(location));
        }
        let location = self.explained(id).await?;
        Ok(location.map(|location| (location.provider, location.slug)))
    }

    /// The location of a ticket, with its explanation. None if the ticket is unknown.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn explained(&self, id: TicketId) -> Result<Option<TicketLocation>, Error> {
        Ok(self.state.get(COLLECTION, &id.to_string()).await?)
    }

    /// Stores the location of a ticket.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn put(&self, id: TicketId, location: &TicketLocation) -> Result<(), Error> {
        self.state
            .put(COLLECTION, &id.to_string(), location, Some(LOCATION_KEPT))
            .await?;
        self.remember(id, (location.provider, location.slug.clone()));
        Ok(())
    }

    /// Removes the location of a ticket that has ended.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn remove(&self, id: TicketId) -> Result<(), Error> {
        self.state.remove(COLLECTION, &id.to_string()).await?;
        Ok(())
    }

    /// Removes the locations of tickets that have ended.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn remove_all(&self, ids: &[TicketId]) -> Result<(), Error> {
        for ids in ids.chunks(State::REMOVE_ITEMS_MAX) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            self.state.remove_many(COLLECTION, &ids).await?;
        }
        Ok(())
    }

    /// The locations of the tickets after `cursor`, in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn list(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(TicketId, TicketLocation)>, Error> {
        let found: Vec<(String, TicketLocation)> =
            self.state.list(COLLECTION, cursor, limit).await?;
        found
            .into_iter()
            .map(|(id, location)| Ok((id.parse()?, location)))
            .collect()
    }

    fn remember(&self, id: TicketId, location: (NodeId, Slug)) {
        let mut remembered = lock(&self.remembered);
        if remembered.younger.len() >= REMEMBERED_HALF {
            remembered.older = std::mem::take(&mut remembered.younger);
        }
        remembered.younger.insert(id, location);
    }

    fn remembered(&self, id: TicketId) -> Option<(NodeId, Slug)> {
        let remembered = lock(&self.remembered);
        let found = remembered.younger.get(&id);
        found.or_else(|| remembered.older.get(&id)).cloned()
    }
}
