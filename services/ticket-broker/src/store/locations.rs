//! Where each ticket is, and why there.

use super::Store;
use crate::judge::why::{Why, short};
use astral_backend::State;
use astral_proto::limits::TICKET_VALIDITY;
use astral_proto::{NodeId, Problem, Slug, TicketId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const TICKETS: &str = "tickets";
/// How long a ticket's place is known; it is put again whenever the ticket is signed again, which is sooner.
const PLACE_KEPT: Duration = Duration::from_secs(2 * TICKET_VALIDITY.as_secs());
/// Places remembered of those put last, twice this many at most.
const REMEMBERED: usize = 8_192;

/// Where a ticket is, and why there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketLocation {
    /// Whose ledger it is in.
    #[serde(rename = "p", with = "short")]
    pub provider: NodeId,
    /// The stream.
    #[serde(rename = "s")]
    pub slug: Slug,
    /// Who was considered, and why it is this one.
    #[serde(rename = "w")]
    pub why: Vec<Why>,
}

/// Places put last, without their reasons. A place never changes, so none of them is out of date; whether the ticket
/// is still good, the ledger knows.
#[derive(Default)]
pub struct Remembered {
    places: Mutex<[HashMap<TicketId, (NodeId, Slug)>; 2]>,
}

impl Remembered {
    fn put(&self, id: TicketId, place: (NodeId, Slug)) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places[0].len() >= REMEMBERED {
            places[1] = std::mem::take(&mut places[0]);
        }
        places[0].insert(id, place);
    }

    fn get(&self, id: TicketId) -> Option<(NodeId, Slug)> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().find_map(|places| places.get(&id)).cloned()
    }
}

impl Store {
    /// Whose ledger a ticket is in, and for which stream.
    pub async fn place(&self, id: TicketId) -> Result<Option<(NodeId, Slug)>, Problem> {
        if let Some(place) = self.remembered.get(id) {
            return Ok(Some(place));
        }
        let place = self.reasons(id).await?;
        Ok(place.map(|place| (place.provider, place.slug)))
    }

    /// Where a ticket is, and why there.
    pub async fn reasons(&self, id: TicketId) -> Result<Option<TicketLocation>, Problem> {
        self.state.get(TICKETS, &id.to_string()).await
    }

    /// Keeps where a ticket is for as long as it may be asked for.
    pub async fn put_place(&self, id: TicketId, place: &TicketLocation) -> Result<(), Problem> {
        self.state
            .put(TICKETS, &id.to_string(), place, Some(PLACE_KEPT))
            .await?;
        self.remembered
            .put(id, (place.provider, place.slug.clone()));
        Ok(())
    }

    /// Forgets where a ticket was.
    pub async fn forget_place(&self, id: TicketId) -> Result<(), Problem> {
        self.state.remove(TICKETS, &id.to_string()).await.map(drop)
    }

    /// Forgets where tickets were.
    pub async fn forget_places(&self, ids: &[TicketId]) -> Result<(), Problem> {
        for ids in ids.chunks(State::REMOVE_ITEMS_MAX) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            self.state.remove_many(TICKETS, &ids).await?;
        }
        Ok(())
    }

    /// Places of tickets by id after `cursor`, at most `limit`.
    pub async fn places(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(TicketId, TicketLocation)>, Problem> {
        let found: Vec<(String, TicketLocation)> = self.state.list(TICKETS, cursor, limit).await?;
        found
            .into_iter()
            .map(|(id, place)| Ok((id.parse()?, place)))
            .collect()
    }
}
