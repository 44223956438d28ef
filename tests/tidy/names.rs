//! Names: one type for each name in a crate, and nothing public that nobody uses.

use crate::{files, report, text};
use std::collections::{BTreeMap, BTreeSet};

/// Types, which must not share a name within a crate.
const TYPES: &[&str] = &["struct", "enum", "trait", "type", "union"];
/// Items that need no `pub` unless another file uses them. Types are left out: a public function
/// may return one that nobody names.
const VALUES: &[&str] = &["fn", "const", "static"];
/// Items that the code is about to use. This list only gets shorter.
const NOT_USED_YET: &[&str] = &["with_clock_ahead", "nonzero", "bytes_per_second"];
/// What may stand between `pub` and the kind of an item.
const QUALIFIERS: &[&str] = &["async", "const", "unsafe"];

/// A public item.
struct Item {
    path: String,
    kind: String,
    name: String,
}

/// The source files of crates and services, without their tests.
fn sources() -> impl Iterator<Item = String> {
    files().into_iter().filter(|path| {
        let is_ours = path.starts_with("crates/") || path.starts_with("services/");
        let is_source = path.contains("/src/") && path.ends_with(".rs");
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        is_ours && is_source && !is_test
    })
}

/// The text of a source file before the tests at its end.
fn code(path: &str) -> String {
    let text = text(path).unwrap_or_default();
    let code = text.split("\n#[cfg(test)]\nmod tests {").next();
    code.unwrap_or_default().to_owned()
}

/// The kind and name of the item that `line` defines, if it is public.
fn public_item(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim_start();
    let rest = rest
        .strip_prefix("pub ")
        .or_else(|| rest.strip_prefix("pub(crate) "))?;
    let mut words = rest.split_whitespace().peekable();
    let mut kind = words.next()?;
    // `const` is a qualifier before `fn`, and a kind before a name.
    while QUALIFIERS.contains(&kind) && words.peek().is_some_and(|next| is_kind(next)) {
        kind = words.next()?;
    }
    let name = words.next()?;
    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let name = &name[..end.unwrap_or(name.len())];
    // A macro defines items whose names begin with $.
    (is_kind(kind) && !name.is_empty()).then_some((kind, name))
}

fn is_kind(word: &str) -> bool {
    TYPES.contains(&word) || VALUES.contains(&word) || QUALIFIERS.contains(&word)
}

fn public_items() -> Vec<Item> {
    let mut items = Vec::new();
    for path in sources() {
        let code = code(&path);
        let found = code.lines().filter_map(public_item);
        items.extend(found.map(|(kind, name)| Item {
            path: path.clone(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        }));
    }
    items
}

/// The first two folders of a path: `crates/NAME`.
fn crate_of(path: &str) -> String {
    path.split('/').take(2).collect::<Vec<_>>().join("/")
}

#[test]
fn no_two_public_types_of_a_crate_have_one_name() {
    let mut types = BTreeMap::<_, BTreeSet<_>>::new();
    for item in public_items() {
        if TYPES.contains(&item.kind.as_str()) {
            let key = (crate_of(&item.path), item.name);
            types.entry(key).or_default().insert(item.path);
        }
    }
    assert!(types.len() > 200, "only {} types are seen", types.len());
    let shared = types.iter().filter(|(_, paths)| paths.len() > 1);
    let complaints: Vec<_> = shared
        .map(|((_, name), paths)| format!("{name} is defined in {paths:?}"))
        .collect();
    report(&complaints, "give each its own name, which says what it is");
}

/// The words of each Rust file of the repository, without comments and re-exports.
fn words() -> BTreeMap<String, BTreeSet<String>> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| {
        let text = without_reexports(&text(&path).unwrap_or_default());
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let words = text.split(|letter| !is_word(letter));
        (path, words.map(str::to_owned).collect())
    })
    .collect()
}

fn without_reexports(text: &str) -> String {
    let mut kept = String::new();
    let mut is_reexport = false;
    for line in text.lines() {
        let line = line.trim_start();
        is_reexport |= line.starts_with("pub use ") || line.starts_with("pub(crate) use ");
        if !is_reexport && !line.starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
        is_reexport &= !line.ends_with(';');
    }
    kept
}

#[test]
fn what_only_its_own_file_uses_is_not_public() {
    let words = words();
    let is_used = |item: &Item| {
        let mut others = words.iter().filter(|(path, _)| **path != item.path);
        others.any(|(_, words)| words.contains(&item.name))
    };
    let items = public_items();
    let values = items
        .iter()
        .filter(|item| VALUES.contains(&item.kind.as_str()))
        .filter(|item| !NOT_USED_YET.contains(&item.name.as_str()));
    let complaints: Vec<_> = values
        .filter(|item| !is_used(item))
        .map(|item| format!("{}: {} {}", item.path, item.kind, item.name))
        .collect();
    report(&complaints, "remove the pub, or the item");
}

#[test]
fn public_items_are_recognised() {
    for (line, item) in [
        ("pub struct Held {", Some(("struct", "Held"))),
        ("pub(crate) enum Error<T> {", Some(("enum", "Error"))),
        ("    pub const fn new() -> Self {", Some(("fn", "new"))),
        ("pub const MAX: u32 = 1;", Some(("const", "MAX"))),
        ("pub async fn run(self) {", Some(("fn", "run"))),
        ("pub use held::Held;", None),
        ("pub name: String,", None),
        ("struct Held;", None),
        ("pub struct $name;", None),
    ] {
        assert_eq!(public_item(line), item, "{line}");
    }
    let text = "pub use a::{\n    B,\n    C,\n};\n// D\nlet e = 1;\n";
    assert_eq!(without_reexports(text), "let e = 1;\n");
}
