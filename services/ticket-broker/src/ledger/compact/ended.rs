//! How the tickets that have ended are stored: the id of each, and until when it is remembered
//! (Unix milliseconds).

use super::rows::{Reader, Writer};
use astral_proto::{TicketId, UnixMillis};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Bytes of a typical row.
const ROW_BYTES: usize = 22;

/// Writes them, for serde.
pub(in crate::ledger) fn serialize<S: Serializer>(
    ended: &BTreeMap<TicketId, UnixMillis>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut rows = Writer::with_capacity(ended.len() * ROW_BYTES);
    for (id, until) in ended {
        rows.id(id.0);
        rows.number(until.get());
    }
    rows.text().serialize(to)
}

/// Reads them, for serde.
pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<TicketId, UnixMillis>, D::Error> {
    let malformed = || D::Error::custom("the rows of ended tickets are malformed");
    let mut rows = Reader::of(&String::deserialize(from)?).ok_or_else(malformed)?;
    let mut ended = BTreeMap::new();
    while !rows.is_empty() {
        let (id, until) = rows.id().zip(rows.number()).ok_or_else(malformed)?;
        ended.insert(TicketId(id), UnixMillis::new(until));
    }
    Ok(ended)
}
