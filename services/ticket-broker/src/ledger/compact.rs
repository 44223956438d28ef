//! How a ticket is written: a row without names, since a ledger is written whole with each of its changes.

use super::Entry;
use astral_proto::model::TicketState;
use astral_proto::{NodeId, Slug};
use serde::{Deserialize, Serialize};

const CONFIRMED: u8 = 1;
const STANDBY: u8 = 2;

/// The fields of an [`Entry`] in their order, state and standby as flags.
#[derive(Serialize, Deserialize)]
pub(super) struct Row(Slug, NodeId, u8, u32, u32, u64, u64, Option<u64>, u64, u64);

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        let confirmed = if entry.state == TicketState::Confirmed { CONFIRMED } else { 0 };
        let flags = confirmed | if entry.standby { STANDBY } else { 0 };
        let Entry { slug, subscriber, kbps, hops, lease_until, valid_until, over_until, .. } = entry;
        let (granted_at, checked_at) = (entry.granted_at, entry.checked_at);
        Self(
            slug,
            subscriber,
            flags,
            kbps,
            hops,
            lease_until,
            valid_until,
            over_until,
            granted_at,
            checked_at,
        )
    }
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        let Row(
            slug,
            subscriber,
            flags,
            kbps,
            hops,
            lease_until,
            valid_until,
            over_until,
            granted_at,
            checked_at,
        ) = row;
        let state = if flags & CONFIRMED > 0 { TicketState::Confirmed } else { TicketState::Offered };
        let standby = flags & STANDBY > 0;
        Self {
            slug,
            subscriber,
            state,
            standby,
            kbps,
            hops,
            lease_until,
            valid_until,
            over_until,
            granted_at,
            checked_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_back_as_it_was_written_and_takes_little_room() {
        for (standby, state) in [(true, TicketState::Offered), (false, TicketState::Confirmed)] {
            let offered = Entry::offered(
                "demo".parse().unwrap(),
                NodeId::random(),
                standby,
                2_500,
                3,
                1_700_000_000_000,
            );
            let entry = Entry { state, over_until: standby.then_some(7), ..offered };
            let written = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<Entry>(&written).unwrap(), entry);
            assert!(written.len() < 140, "{written}");
        }
    }
}
