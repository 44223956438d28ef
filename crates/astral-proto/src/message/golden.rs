//! Golden files: every message of each version, read by the code of this one.
//!
//! `golden/messages-VERSION.json` holds one example of each message with every field. A file that has been released never
//! changes. A new version gets a new file.

use super::*;
use crate::rest::{NodeAnswer, NodeAsk, TicketChange};
use crate::{Problem, ticket::Claims};
use serde_json::{Map, Value};

const FILES: [(&str, &str); 1] = [("0.1", include_str!("../../golden/messages-0.1.json"))];

/// Reads a message and writes it again.
type Reread = fn(&Value) -> serde_json::Result<Value>;

fn reread<T: Serialize + DeserializeOwned>(message: &Value) -> serde_json::Result<Value> {
    serde_json::to_value(T::deserialize(message)?)
}

/// Each request by its subject or verb, with what reads it and its reply.
fn rereads_of_requests() -> Vec<(&'static str, Reread, Reread)> {
    macro_rules! rereads {
        ($($request:ident $name:literal => $reply:ty;)*) => {
            vec![$(($name, reread::<$request> as Reread, reread::<$reply> as Reread)),*]
        };
    }
    let mut all = each_request!(rereads);
    all.extend(each_node_request!(rereads));
    all
}

fn rereads_of_others() -> Vec<(&'static str, Reread)> {
    vec![
        (event::STREAM_CREATED, reread::<StreamChanged>),
        (event::STREAM_CHANGED, reread::<StreamChanged>),
        (event::STREAM_GONE, reread::<StreamChanged>),
        (event::NODE_HEARTBEAT, reread::<Heartbeat>),
        (event::NODE_CREATED, reread::<NodeChanged>),
        (event::NODE_CHANGED, reread::<NodeChanged>),
        (event::NODE_GONE, reread::<NodeGone>),
        (event::TICKET_CREATED, reread::<TicketChanged>),
        (event::TICKET_CHANGED, reread::<TicketChanged>),
        (event::TICKET_GONE, reread::<TicketChanged>),
        (event::NODE_ATTACHED, reread::<NodeAttached>),
        ("problem", reread::<Problem>),
        ("claims", reread::<Claims>),
        ("ticket_confirmed", reread::<TicketChange>),
        ("ticket_switched", reread::<TicketChange>),
        ("node_ask", reread::<NodeAsk>),
        ("node_answer", reread::<NodeAnswer>),
        ("node_refusal", reread::<NodeAnswer>),
    ]
}

/// Asserts that everything in `golden` is in `now` too: a later version may say more, never less, and never otherwise.
fn assert_kept(what: &str, golden: &Value, now: &Value) {
    match (golden, now) {
        (Value::Object(golden), Value::Object(now)) => {
            for (name, value) in golden {
                let kept = now.get(name).unwrap_or(&Value::Null);
                assert_kept(&format!("{what}.{name}"), value, kept);
            }
        }
        (Value::Array(golden), Value::Array(now)) => {
            assert_eq!(golden.len(), now.len(), "{what}");
            golden
                .iter()
                .zip(now)
                .for_each(|(golden, now)| assert_kept(what, golden, now));
        }
        _ => assert_eq!(golden, now, "{what}"),
    }
}

/// Adds a field that no version has to every object in `message`.
fn extended(message: &Value) -> Value {
    match message {
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), extended(value)));
            let new = ("field_of_a_later_version".to_owned(), Value::from("eu"));
            Value::Object(fields.chain([new]).collect())
        }
        Value::Array(elements) => elements.iter().map(extended).collect(),
        other => other.clone(),
    }
}

fn check(what: &str, message: &Value, reread: Reread) {
    let now = reread(message).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_kept(what, message, &now);
    // What is an enum with data, or a body for another reader, is not extended: an added field would be another variant.
    let is_extendable = ![
        "ticket_confirmed",
        "ticket_switched",
        "node_ask",
        "node_answer",
    ]
    .contains(&what);
    if is_extendable {
        let extended =
            reread(&extended(message)).unwrap_or_else(|error| panic!("{what}, extended: {error}"));
        assert_eq!(extended, now, "{what}, extended");
    }
}

fn section<'a>(file: &'a Value, name: &str) -> &'a Map<String, Value> {
    file[name]
        .as_object()
        .unwrap_or_else(|| panic!("{name} is a section"))
}

#[test]
fn every_message_of_every_version_is_read_and_keeps_what_it_says() {
    for (version, text) in FILES {
        let file: Value = serde_json::from_str(text).unwrap();
        let mut pairs = section(&file, "requests").clone();
        pairs.extend(section(&file, "node_requests").clone());
        for (name, request, reply) in rereads_of_requests() {
            let Some(pair) = pairs.remove(name) else {
                continue;
            };
            check(&format!("{version} {name}"), &pair["request"], request);
            check(&format!("{version} reply to {name}"), &pair["reply"], reply);
        }
        let mut others = section(&file, "events").clone();
        others.extend(section(&file, "others").clone());
        for (name, reread) in rereads_of_others() {
            let Some(message) = others.remove(name) else {
                continue;
            };
            check(name, &message, reread);
        }
        let unread: Vec<_> = pairs.keys().chain(others.keys()).collect();
        assert!(
            unread.is_empty(),
            "this version has lost messages of {version}: {unread:?}"
        );
    }
}

#[test]
fn the_newest_golden_file_has_every_message() {
    let [.., (_, text)] = FILES;
    let file: Value = serde_json::from_str(text).unwrap();
    let is_there = |name: &str| {
        ["requests", "node_requests", "events", "others"]
            .iter()
            .any(|of| !file[of][name].is_null())
    };
    let names = rereads_of_requests().into_iter().map(|(name, ..)| name);
    let names = names.chain(rereads_of_others().into_iter().map(|(name, _)| name));
    let missing: Vec<_> = names.filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Asserts that everything in `now` is in `golden` too, except fields that are absent or empty.
fn assert_complete(what: &str, golden: &Value, now: &Value) {
    match (golden, now) {
        (Value::Object(golden), Value::Object(now)) => {
            for (name, value) in now {
                let shown = golden.get(name);
                let is_shown = shown.is_some() || value.is_null();
                assert!(is_shown, "{what}: the example has no {name}");
                assert_complete(&format!("{what}.{name}"), shown.unwrap_or(value), value);
            }
        }
        (Value::Array(golden), Value::Array(now)) => {
            let pairs = golden.iter().zip(now);
            pairs.for_each(|(golden, now)| assert_complete(what, golden, now));
        }
        _ => {}
    }
}

#[test]
fn the_examples_of_the_newest_version_have_every_field() {
    let [.., (_, text)] = FILES;
    let file: Value = serde_json::from_str(text).unwrap();
    for (name, request, reply) in rereads_of_requests() {
        let of = ["requests", "node_requests"];
        let pair = of
            .iter()
            .map(|of| &file[of][name])
            .find(|pair| !pair.is_null());
        let pair = pair.unwrap_or_else(|| panic!("{name} is missing"));
        let now = request(&pair["request"]).unwrap();
        assert_complete(name, &pair["request"], &now);
        let now = reply(&pair["reply"]).unwrap();
        assert_complete(&format!("reply to {name}"), &pair["reply"], &now);
    }
    for (name, reread) in rereads_of_others() {
        let of = ["events", "others"];
        let message = of
            .iter()
            .map(|of| &file[of][name])
            .find(|message| !message.is_null());
        let message = message.unwrap_or_else(|| panic!("{name} is missing"));
        assert_complete(name, message, &reread(message).unwrap());
    }
}

/// The page that explains the messages to people who write a relay in another language.
const PAGE: &str = include_str!("../../../../docs/messages.md");

/// The seed of the key on that page.
const SEED: [u8; 32] = [0x2a; 32];

#[test]
fn the_ticket_on_the_page_about_messages_is_the_one_in_the_golden_file() {
    let file: Value = serde_json::from_str(FILES[0].1).unwrap();
    let claims: Claims = serde_json::from_value(file["others"]["claims"].clone()).unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&SEED);
    let public = crate::ticket::encode_key(&key.verifying_key());
    assert!(PAGE.contains(&format!("`{public}`")), "{public}");
    let token = crate::ticket::sign(&claims, &key);
    assert!(PAGE.contains(&token), "{token}");
}
