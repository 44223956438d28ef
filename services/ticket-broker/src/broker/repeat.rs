//! A request that another replica may have handled before it fell silent: it gets what that one has granted.

use super::Broker;
use crate::judge::tries_max;
use crate::store::Outcome;
use astral_proto::message::{Offer, Tickets};
use astral_proto::{Problem, TicketId};
use futures_util::future::try_join_all;
use uuid::Uuid;

/// The id of the ticket that `request` gets of the provider that is asked as `number`-th for it. Every replica finds the
/// same one.
pub(super) fn ticket_id(request: Uuid, standby: bool, number: usize) -> TicketId {
    let kind = 2 * number as u128 + u128::from(standby);
    TicketId(Uuid::from_u128(request.as_u128() ^ (kind + 1)))
}

impl Broker {
    /// What `request` was granted, if anything.
    pub(super) async fn granted_before(&self, request: Uuid) -> Result<Option<Tickets>, Problem> {
        let Some(active) = self.offered_before(request, false).await? else {
            return Ok(None);
        };
        let standby = self.offered_before(request, true).await?;
        Ok(Some(Tickets { active, standby }))
    }

    /// The ticket, or the standby, that `request` was offered, if it was and is still good.
    pub(super) async fn offered_before(
        &self,
        request: Uuid,
        standby: bool,
    ) -> Result<Option<Offer>, Problem> {
        let ids = (0..tries_max(standby)).map(|number| ticket_id(request, standby, number));
        let offers = try_join_all(ids.map(|id| self.offer_of(id))).await?;
        Ok(offers.into_iter().flatten().next())
    }

    async fn offer_of(&self, id: TicketId) -> Result<Option<Offer>, Problem> {
        let Some((provider, _)) = self.store.place(id).await? else {
            return Ok(None);
        };
        let entry = move |ledger: &mut crate::ledger::Ledger| {
            Outcome::Same(
                ledger
                    .tickets
                    .get(&id)
                    .map(|entry| (entry.clone(), ledger.advertise.clone())),
            )
        };
        let found = self.store.in_ledger(provider, entry).await?.flatten();
        Ok(found.map(|(entry, advertise)| {
            self.keys
                .offer(&Self::claims(id, provider, &entry), advertise)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_provider_that_is_asked_gets_an_id_of_its_own_and_the_same_again() {
        let request = Uuid::new_v4();
        let ids = |standby| {
            (0..tries_max(standby)).map(move |number| ticket_id(request, standby, number))
        };
        let all: BTreeSet<_> = ids(true).chain(ids(false)).collect();
        assert_eq!(all.len(), tries_max(true) + tries_max(false));
        assert_eq!(ids(true).chain(ids(false)).collect::<BTreeSet<_>>(), all);
    }
}
