//! A request that the bus delivers again, because the replica that handled it first fell silent.
//! That replica may have granted it. The ids of its tickets are computed from the id of the
//! request, so this replica can look them up.

use crate::broker::Broker;
use crate::error::Error;
use crate::judge::draw::tries_max;
use crate::ledger::Ledger;
use crate::record::sign;
use crate::reserve::ticket_id;
use crate::store::ledgers::Outcome;
use astral_proto::TicketId;
use astral_proto::message::{Offer, Tickets};
use futures_util::future::try_join_all;
use uuid::Uuid;

/// The tickets that this request was granted before. None if it was granted no ticket for use.
///
/// # Errors
/// Those of the state.
pub async fn granted_before(broker: &Broker, request: Uuid) -> Result<Option<Tickets>, Error> {
    let Some(active) = offered_before(broker, request, false).await? else {
        return Ok(None);
    };
    let standby = offered_before(broker, request, true).await?;
    Ok(Some(Tickets { active, standby }))
}

/// The ticket for use, or the standby if `standby` is set, that this request was offered before.
/// None if there is no such ticket in any ledger.
///
/// # Errors
/// Those of the state.
pub async fn offered_before(
    broker: &Broker,
    request: Uuid,
    standby: bool,
) -> Result<Option<Offer>, Error> {
    let ids = (0..tries_max(standby)).map(|attempt| ticket_id(request, standby, attempt));
    let offers = try_join_all(ids.map(|id| offer_of(broker, id))).await?;
    Ok(offers.into_iter().flatten().next())
}

async fn offer_of(broker: &Broker, id: TicketId) -> Result<Option<Offer>, Error> {
    let Some((provider, _)) = broker.store.locations.find(id).await? else {
        return Ok(None);
    };
    let read = move |ledger: &mut Ledger| {
        let entry = ledger.tickets.get(&id).cloned();
        Outcome::Same(entry.map(|entry| (entry, ledger.advertise.clone())))
    };
    let found = broker.store.ledgers.update(provider, read).await?;
    Ok(found
        .flatten()
        .map(|(entry, advertise)| sign(&broker.keys, id, provider, &entry, advertise)))
}
