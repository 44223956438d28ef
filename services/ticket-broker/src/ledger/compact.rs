//! How the tickets of a ledger are stored: as rows of bytes in base64. The form is short because
//! each change writes the whole ledger. A number takes one byte for each seven bits (LEB128). Times
//! are stored as distances from the time of the grant.
//!
//! A later version must not change the rows, because earlier versions read them. It may add fields
//! beside them: a broker that does not know a field keeps it.

pub(super) mod ended;
mod rows;

use super::Entry;
use astral_proto::model::TicketState;
use astral_proto::{Kbps, NodeId, Slug, TicketId, UnixMillis};
use rows::{Reader, Writer};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

const CONFIRMED: u64 = 1;
const STANDBY: u64 = 2;
const OVER: u64 = 4;
/// Bytes of a typical row.
const ROW_BYTES: usize = 56;

/// All tickets. A row has the index of its stream in `slugs`.
#[derive(Serialize, Deserialize)]
struct Table<S> {
    slugs: Vec<S>,
    rows: String,
}

/// Writes tickets, for serde.
pub(super) fn serialize<S: Serializer>(
    tickets: &BTreeMap<TicketId, Entry>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut slugs = Vec::new();
    let mut indexes = BTreeMap::new();
    let mut rows = Writer::with_capacity(tickets.len() * ROW_BYTES);
    for (id, entry) in tickets {
        let index = match slugs.last() {
            // Most providers have tickets for one stream only, and then no search is needed.
            Some(last) if *last == &entry.slug => slugs.len() as u64 - 1,
            _ => *indexes.entry(&entry.slug).or_insert_with(|| {
                slugs.push(&entry.slug);
                slugs.len() as u64 - 1
            }),
        };
        write(&mut rows, *id, entry, index);
    }
    Table {
        slugs,
        rows: rows.text(),
    }
    .serialize(to)
}

/// Reads tickets, for serde.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<TicketId, Entry>, D::Error> {
    let Table { slugs, rows } = Table::<Slug>::deserialize(from)?;
    let malformed = || D::Error::custom("the rows of tickets are malformed");
    let mut rows = Reader::of(&rows).ok_or_else(malformed)?;
    let mut tickets = BTreeMap::new();
    while !rows.is_empty() {
        let (id, entry) = read(&mut rows, &slugs).ok_or_else(malformed)?;
        tickets.insert(id, entry);
    }
    Ok(tickets)
}

fn write(row: &mut Writer, id: TicketId, entry: &Entry, slug: u64) {
    let confirmed = if entry.state == TicketState::Confirmed {
        CONFIRMED
    } else {
        0
    };
    let standby = if entry.standby { STANDBY } else { 0 };
    let over = if entry.over_until.is_some() { OVER } else { 0 };
    row.id(id.0);
    row.id(entry.subscriber.0);
    row.number(slug);
    row.number(confirmed | standby | over);
    row.number(entry.kbps.get().into());
    row.number(entry.hops.into());
    row.number(entry.granted_at.get());
    row.distance(entry.granted_at, entry.lease_until);
    row.distance(entry.granted_at, entry.valid_until);
    row.distance(entry.granted_at, entry.checked_at);
    if let Some(until) = entry.over_until {
        row.distance(entry.granted_at, until);
    }
}

fn read(row: &mut Reader, slugs: &[Slug]) -> Option<(TicketId, Entry)> {
    let id = TicketId(row.id()?);
    let subscriber = NodeId(row.id()?);
    let slug = slugs.get(usize::try_from(row.number()?).ok()?)?.clone();
    let flags = row.number()?;
    let kbps = Kbps::new(u32::try_from(row.number()?).ok()?);
    let hops = u32::try_from(row.number()?).ok()?;
    let granted_at = UnixMillis::new(row.number()?);
    let entry = Entry {
        slug,
        subscriber,
        state: if flags & CONFIRMED > 0 {
            TicketState::Confirmed
        } else {
            TicketState::Offered
        },
        standby: flags & STANDBY > 0,
        kbps,
        hops,
        lease_until: row.distance(granted_at)?,
        valid_until: row.distance(granted_at)?,
        granted_at,
        checked_at: row.distance(granted_at)?,
        over_until: if flags & OVER > 0 {
            Some(row.distance(granted_at)?)
        } else {
            None
        },
    };
    Some((id, entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::ledger::tests::node;
    use proptest::prelude::*;

    fn ledger(tickets: BTreeMap<TicketId, Entry>) -> Ledger {
        Ledger {
            tickets,
            ..Ledger::new(&node())
        }
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let times = (
            any::<u64>(),
            any::<u64>(),
            any::<Option<u64>>(),
            any::<u64>(),
            any::<u64>(),
        );
        let rest = (
            "[a-z]{1,3}",
            any::<u128>(),
            any::<bool>(),
            any::<bool>(),
            any::<u32>(),
            any::<u32>(),
        );
        (times, rest).prop_map(
            |(times, (slug, subscriber, confirmed, standby, kbps, hops))| Entry {
                slug: slug.parse().unwrap(),
                subscriber: NodeId(uuid(subscriber)),
                state: if confirmed {
                    TicketState::Confirmed
                } else {
                    TicketState::Offered
                },
                standby,
                kbps: Kbps::new(kbps),
                hops,
                lease_until: UnixMillis::new(times.0),
                valid_until: UnixMillis::new(times.1),
                over_until: times.2.map(UnixMillis::new),
                granted_at: UnixMillis::new(times.3),
                checked_at: UnixMillis::new(times.4),
            },
        )
    }

    fn uuid(bits: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(bits)
    }

    proptest! {
        #[test]
        fn every_ledger_is_read_as_it_was_written(
            entries in prop::collection::vec((any::<u128>(), any_entry()), 0..8),
            ended in prop::collection::btree_map(any::<u128>(), any::<u64>(), 0..4),
        ) {
            let with_id = |(id, entry)| (TicketId(uuid(id)), entry);
            let mut ledger = ledger(entries.into_iter().map(with_id).collect());
            let ended = ended.into_iter().map(|(id, until)| (TicketId(uuid(id)), UnixMillis::new(until)));
            ledger.ended = ended.collect();
            let written = serde_json::to_string(&ledger).unwrap();
            prop_assert_eq!(serde_json::from_str::<Ledger>(&written).unwrap(), ledger);
        }

        #[test]
        fn malformed_rows_are_an_error(rows in "[A-Za-z0-9_-]{1,200}") {
            let written = serde_json::to_string(&ledger(BTreeMap::new())).unwrap();
            let garbled = written.replacen(r#""rows":"""#, &format!(r#""rows":"{rows}""#), 1);
            prop_assert!(garbled != written);
            // A row needs a stream, and the list of streams is empty.
            prop_assert!(serde_json::from_str::<Ledger>(&garbled).is_err());
        }
    }

    #[test]
    fn a_ticket_takes_few_bytes() {
        let offer = |_| {
            Entry::offered(
                "demo".parse().unwrap(),
                NodeId::random(),
                false,
                Kbps::new(2_500),
                3,
                UnixMillis::new(1_700_000_000_000),
            )
        };
        let hundred = (0..100).map(|at| (TicketId::random(), offer(at))).collect();
        let written = serde_json::to_string(&ledger(hundred)).unwrap();
        assert!(written.len() < 100 * 72, "{}", written.len());
    }
}
