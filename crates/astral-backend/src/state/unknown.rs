//! Keeps what a later version of Astral wrote into an entry when this version changes the entry.
//!
//! During a rolling upgrade, old and new replicas change the same entries. An old replica does not know the newest fields
//! and enum values. It must not delete them by writing back only what it understands.

use serde::Serialize;
use serde_json::{Map, Value};

/// What an entry holds beyond what this version understands.
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown {
    stored: Value,
    understood: Value,
}

impl Unknown {
    /// What `stored`, which was read as `value`, holds beyond it. None for an entry that is absent, and for one that this
    /// version would write exactly as it is stored: nearly every entry.
    pub fn of<T: Serialize>(stored: Option<&bytes::Bytes>, value: Option<&T>) -> Option<Self> {
        let stored = stored?;
        let understood = serde_json::to_vec(value?).ok()?;
        if understood == *stored {
            return None;
        }
        let stored = serde_json::from_slice(stored).ok()?;
        let understood = serde_json::from_slice(&understood).ok()?;
        Some(Self { stored, understood })
    }

    /// The entry as JSON once this version has changed it to `value`.
    pub fn write<T: Serialize>(&self, value: &T) -> serde_json::Result<Vec<u8>> {
        let changed = serde_json::to_value(value)?;
        serde_json::to_vec(&keep_unknown(&self.stored, &self.understood, changed))
    }
}

/// `changed`, with everything added back that this version does not understand.
///
/// `stored` is the entry as it was read. `understood` is what this version makes of it: `stored`, read and written again.
/// Whatever is the same in `understood` and `changed` was not touched, and stays as it is in `stored`. An element of a
/// list keeps its unknown fields only if nothing else in the element changes, because elements have no names.
fn keep_unknown(stored: &Value, understood: &Value, changed: Value) -> Value {
    if stored == understood {
        return changed;
    }
    if *understood == changed {
        return stored.clone();
    }
    match (stored, understood, changed) {
        (Value::Object(stored), Value::Object(understood), Value::Object(changed)) => {
            Value::Object(keep_unknown_fields(stored, understood, changed))
        }
        (Value::Array(stored), Value::Array(understood), Value::Array(changed)) => {
            let elements = changed
                .into_iter()
                .map(|element| as_stored(stored, understood, element));
            Value::Array(elements.collect())
        }
        (_, _, changed) => changed,
    }
}

fn keep_unknown_fields(
    stored: &Map<String, Value>,
    understood: &Map<String, Value>,
    changed: Map<String, Value>,
) -> Map<String, Value> {
    let is_unknown = |name: &str| !understood.contains_key(name) && !changed.contains_key(name);
    let mut kept: Map<String, Value> = stored
        .iter()
        .filter(|(name, _)| is_unknown(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in changed {
        let merged = match (stored.get(&name), understood.get(&name)) {
            (Some(stored), Some(understood)) => keep_unknown(stored, understood, value),
            _ => value,
        };
        kept.insert(name, merged);
    }
    kept
}

/// The element of `stored` that this version understands as `element`, or `element` itself if it is new.
fn as_stored(stored: &[Value], understood: &[Value], element: Value) -> Value {
    let place = understood.iter().position(|other| *other == element);
    place
        .and_then(|place| stored.get(place).cloned())
        .unwrap_or(element)
}

#[cfg(test)]
mod tests {
    use super::keep_unknown;
    use serde_json::json;

    #[test]
    fn fields_and_words_of_a_later_version_stay() {
        let stored = json!({"state": "hibernating", "epoch": 1, "region": "eu", "origin": {"node": 7, "zone": "b"}});
        let understood = json!({"state": "unknown", "epoch": 1, "origin": {"node": 7}});
        let changed = json!({"state": "unknown", "epoch": 2, "origin": {"node": 8}});
        assert_eq!(
            keep_unknown(&stored, &understood, changed),
            json!({"state": "hibernating", "epoch": 2, "region": "eu", "origin": {"node": 8, "zone": "b"}})
        );
    }

    #[test]
    fn what_this_version_removes_or_sets_is_removed_or_set() {
        let stored = json!({"state": "hibernating", "key": "x", "region": "eu"});
        let understood = json!({"state": "unknown", "key": "x"});
        let changed = json!({"state": "live"});
        assert_eq!(
            keep_unknown(&stored, &understood, changed),
            json!({"state": "live", "region": "eu"})
        );
    }

    #[test]
    fn elements_of_a_list_stay_as_they_were_stored_wherever_they_move() {
        let stored = json!([{"id": 1, "zone": "a"}, {"id": 2, "zone": "b"}]);
        let understood = json!([{"id": 1}, {"id": 2}]);
        let changed = json!([{"id": 3}, {"id": 2}]);
        assert_eq!(
            keep_unknown(&stored, &understood, changed),
            json!([{"id": 3}, {"id": 2, "zone": "b"}])
        );
    }

    #[test]
    fn an_entry_of_this_version_is_what_was_written() {
        let stored = json!({"epoch": 1});
        assert_eq!(
            keep_unknown(&stored, &stored, json!({"epoch": 2})),
            json!({"epoch": 2})
        );
    }
}
