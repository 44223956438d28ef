//! How log lines and spans name things: one name for each thing, so that one search finds all that
//! is said of it.

use crate::{files, report, text};

/// What may be said of a stream, a node and a ticket. The operators' page explains each.
const KNOWN: &[&str] = &[
    "node.id",
    "provider.id",
    "provider.left",
    "stream.epoch",
    "stream.hops",
    "stream.incarnation",
    "stream.slug",
    "subscriber.id",
    "ticket.id",
];
/// Words of which a field may only speak by the names above.
const THINGS: &[&str] = &[
    "stream",
    "slug",
    "node",
    "uuid",
    "ticket",
    "provider",
    "subscriber",
    "supernode",
];
/// Names that say nothing, or that a line has by itself.
const NEVER: &[&str] = &[
    "id",
    "name",
    "to",
    "from",
    "timestamp",
    "level",
    "target",
    "message",
    "span",
    "spans",
];
/// The macros that make log lines and spans.
const MACROS: &[&str] = &[
    "trace!(",
    "debug!(",
    "info!(",
    "warn!(",
    "error!(",
    "debug_span!(",
    "info_span!(",
    "warn_span!(",
    "error_span!(",
];
const ADVICE: &str =
    "use a name of KNOWN in tests/tidy/fields.rs, which docs/operations.md explains";

/// The arguments of a macro, of which `text` is what stands after its opening parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let mut depth = 0_usize;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => skip_text(&mut letters),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return arguments,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => arguments.push(String::new()),
            other => arguments
                .last_mut()
                .expect("there is one from the start")
                .push(other),
        }
    }
    arguments
}

/// Skips a string of which the first quote has been read.
fn skip_text(letters: &mut impl Iterator<Item = char>) {
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '"' => return,
            _ => {}
        }
    }
}

/// The field that an argument sets, if it sets one: `name = value`, `%name`, `?name` or `name`.
fn field(argument: &str) -> Option<String> {
    let named = argument
        .split_once(" = ")
        .map_or(argument, |(name, _)| name);
    let name: String = named
        .chars()
        .filter(|letter| !letter.is_whitespace() && !"%?".contains(*letter))
        .collect();
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_' || letter == '.';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// Every field that `text` sets.
fn fields(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in MACROS {
        let call = format!("tracing::{name}");
        for (at, _) in text.match_indices(&call) {
            let set = arguments(&text[at + call.len()..]);
            // `target:` and `parent:` are no fields.
            found.extend(
                set.iter()
                    .filter(|argument| !argument.contains(": "))
                    .filter_map(|set| field(set)),
            );
        }
    }
    found
}

fn is_wrong(field: &str) -> bool {
    let mut parts = field.split('.');
    NEVER.contains(&field) || (parts.any(|part| THINGS.contains(&part)) && !KNOWN.contains(&field))
}

#[test]
fn streams_nodes_and_tickets_have_one_name_in_logs_and_spans() {
    let mut complaints = Vec::new();
    let mut count = 0;
    let is_code = |path: &String| path.starts_with("crates/") || path.starts_with("services/");
    for path in files()
        .into_iter()
        .filter(is_code)
        .filter(|path| path.ends_with(".rs"))
    {
        let set = fields(&text(&path).unwrap_or_default());
        count += set.len();
        let is_test = path.contains("/tests");
        let wrong = set.into_iter().filter(|field| !is_test && is_wrong(field));
        complaints.extend(wrong.map(|field| format!("{path} sets {field}")));
    }
    assert!(count > 100, "only {count} fields are seen");
    report(&complaints, ADVICE);
}

#[test]
fn every_name_is_explained_to_operators() {
    let page = text("docs/operations.md").expect("there is a page for operators");
    let silent = KNOWN
        .iter()
        .filter(|name| !page.contains(&format!("| `{name}` |")));
    let complaints: Vec<_> = silent
        .map(|name| format!("{name} is not explained"))
        .collect();
    report(
        &complaints,
        "add it to the table of fields in docs/operations.md",
    );
}

#[test]
fn fields_are_seen_however_they_are_written() {
    let text = r#"tracing::info!(stream.id = %id, ?node, gap_ms = f(a, "b, c"), made, "told, with, commas");
        tracing::debug_span!(target: TARGET, parent: None, "name", astral.slug = slug.map(|s| s.id),);"#;
    let seen = fields(text);
    for field in ["stream.id", "node", "gap_ms", "made", "astral.slug"] {
        assert!(
            seen.iter().any(|found| found == field),
            "{field} is not among {seen:?}"
        );
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(
        ["stream.id", "node", "astral.slug", "to"]
            .into_iter()
            .all(is_wrong)
    );
    assert!(
        !["stream.slug", "streams", "gap_ms", "provider.left"]
            .into_iter()
            .any(is_wrong)
    );
}
