//! The layers of `astral-relay`: which of its modules may import which, and that its files import
//! each other in no circle.

use crate::{files, report, text};
use std::collections::{BTreeMap, BTreeSet};

/// The sources of the relay.
const SOURCES: &str = "crates/astral-relay/src/";
/// The modules that form layers. Every other module stands below them, because several of them need
/// it. `serve` and `node` do not import each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("log", &[]),
    ("core", &["log"]),
    ("feed", &["log", "core"]),
    ("serve", &["log", "core", "feed"]),
    ("node", &["log", "core", "feed"]),
];
/// Files that are compiled for tests alone.
const TESTS: &[&str] = &["tests.rs", "testing.rs"];

/// The path of a module or item, from the root of the crate.
type Path = Vec<String>;

/// One source file.
struct Source {
    module: Path,
    /// The code before its tests, without comments and strings.
    code: String,
    /// Every path that it imports or names.
    paths: Vec<Path>,
    /// The names that it exports from other modules, and where they come from.
    exports: BTreeMap<String, Path>,
}

impl Source {
    fn read(file: &str) -> Self {
        let text = text(file).unwrap_or_default();
        let code = without_comments(
            text.split("\n#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or(""),
        );
        let module = module_of(file);
        let mut source = Self {
            module,
            code,
            paths: Vec::new(),
            exports: BTreeMap::new(),
        };
        source.collect_uses();
        source.collect_inline_paths();
        source
    }

    /// Whether the file only declares and exports modules. Imports through such a file are imports
    /// of what it exports.
    fn is_facade(&self) -> bool {
        let mut rest = String::new();
        for statement in self.code.split_inclusive(';') {
            let words = statement.trim().trim_start_matches("#[cfg(test)]").trim();
            let words = words.trim_start_matches("pub ").trim();
            if !words.starts_with("use ") && !words.starts_with("mod ") {
                rest.push_str(words);
            }
        }
        rest.trim().is_empty()
    }

    fn collect_uses(&mut self) {
        let code = self.code.clone();
        for statement in code.split(';').map(str::trim) {
            let Some(at) = statement
                .rfind("use ")
                .filter(|at| is_start(statement, *at))
            else {
                continue;
            };
            let is_public = statement[..at].trim_end().ends_with("pub");
            let mut imported = Vec::new();
            expand(&statement[at + 4..], &mut Vec::new(), &mut imported);
            let paths: Vec<_> = imported
                .into_iter()
                .filter_map(|path| self.absolute(path))
                .collect();
            for path in paths {
                if is_public && let Some(name) = path.last().cloned() {
                    self.exports.insert(name, path.clone());
                }
                self.paths.push(path);
            }
        }
    }

    fn collect_inline_paths(&mut self) {
        let code = self.code.clone();
        for start in ["crate::", "super::"] {
            for (at, _) in code.match_indices(start) {
                let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                let end = code[at..]
                    .find(|c| !is_path(c))
                    .map_or(code.len(), |end| at + end);
                let path = code[at..end].split("::").map(str::to_owned);
                let path: Path = path.filter(|segment| !segment.is_empty()).collect();
                self.paths.extend(self.absolute(path));
            }
        }
    }

    /// The path from the root of the crate; None for other crates.
    fn absolute(&self, path: Path) -> Option<Path> {
        let mut base = self.module.clone();
        let mut rest = path.as_slice();
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child => {
                let declaration = format!("mod {child};");
                if !self.code.contains(&declaration) {
                    return None;
                }
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }
}

/// The module that a file is, from the root of the crate.
fn module_of(file: &str) -> Path {
    let inner = file.trim_start_matches(SOURCES).trim_end_matches(".rs");
    let names = inner.split('/').map(str::to_owned);
    names.filter(|name| name != "lib").collect()
}

/// Whether a statement may begin at `at`: after nothing, an attribute, a block or a visibility.
fn is_start(statement: &str, at: usize) -> bool {
    let before = statement[..at].trim_end();
    before.is_empty() || before.ends_with(['}', ']', '{']) || before.ends_with("pub")
}

/// Each path of a `use` with braces.
fn expand(tree: &str, prefix: &mut Path, out: &mut Vec<Path>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let plain = tree.split(" as ").next().unwrap_or(tree);
        let rest = plain.split("::").map(|segment| segment.trim().to_owned());
        let whole = prefix.iter().cloned().chain(rest);
        out.push(
            whole
                .filter(|segment| segment != "self" || prefix.is_empty())
                .collect(),
        );
        return;
    };
    let depth = prefix.len();
    let head = tree[..open].trim_end_matches("::");
    prefix.extend(
        head.split("::")
            .filter(|s| !s.is_empty())
            .map(|s| s.trim().to_owned()),
    );
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let mut level = 0;
    let mut start = 0;
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => level += 1,
            '}' => level -= 1,
            ',' if level == 0 => {
                let item = &inner[start..at.min(inner.len())];
                if !item.trim().is_empty() {
                    expand(item, prefix, out);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    prefix.truncate(depth);
}

fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// The sources of the relay, by module.
fn sources() -> BTreeMap<Path, Source> {
    let ours = files().into_iter().filter(|file| {
        let is_test = TESTS.iter().any(|name| file.ends_with(&format!("/{name}")));
        file.starts_with(SOURCES) && file.ends_with(".rs") && !is_test
    });
    let read = ours.map(|file| Source::read(&file));
    let all: BTreeMap<_, _> = read.map(|source| (source.module.clone(), source)).collect();
    assert!(all.len() > 30, "only {} sources are read", all.len());
    all
}

/// The module that defines what `path` names, through facades.
fn definition(sources: &BTreeMap<Path, Source>, path: &[String]) -> Option<Path> {
    let length = (0..=path.len())
        .rev()
        .find(|length| sources.contains_key(&path[..*length]))?;
    let module = &sources[&path[..length]];
    if let Some(name) = path.get(length).filter(|_| module.is_facade())
        && let Some(exported) = module.exports.get(name)
        && exported != path
    {
        return definition(sources, exported);
    }
    Some(module.module.clone())
}

/// The modules that each module imports. Facades import nothing themselves.
fn imports(sources: &BTreeMap<Path, Source>) -> BTreeMap<Path, BTreeSet<Path>> {
    let code = sources.values().filter(|source| !source.is_facade());
    let imports = code.map(|source| {
        let defined = source
            .paths
            .iter()
            .filter_map(|path| definition(sources, path));
        let others =
            defined.filter(|module| *module != source.module && !sources[module].is_facade());
        (source.module.clone(), others.collect())
    });
    imports.collect()
}

fn layer(module: &[String]) -> Option<&str> {
    let first = module.first()?;
    LAYERS
        .iter()
        .map(|(name, _)| *name)
        .find(|name| name == first)
}

fn may_import(importer: &[String], imported: &[String]) -> bool {
    let Some(to) = layer(imported) else {
        return true;
    };
    let Some(from) = layer(importer) else {
        return false;
    };
    let below = LAYERS.iter().find(|(name, _)| *name == from);
    from == to || below.is_some_and(|(_, below)| below.contains(&to))
}

#[test]
fn no_module_of_the_relay_imports_one_above_it() {
    let imports = imports(&sources());
    let mut complaints = Vec::new();
    for (importer, imported) in imports.iter().filter(|(importer, _)| !importer.is_empty()) {
        let wrong = imported
            .iter()
            .filter(|imported| !may_import(importer, imported));
        complaints
            .extend(wrong.map(|to| format!("{} imports {}", importer.join("::"), to.join("::"))));
    }
    let advice = "log is below core, core below feed, feed below serve and node; what all of them need is below log";
    report(&complaints, advice);
}

/// One circle that starts at `module`, if there is one.
fn circle(
    imports: &BTreeMap<Path, BTreeSet<Path>>,
    module: &Path,
    way: &mut Vec<Path>,
    done: &mut BTreeSet<Path>,
) -> Option<String> {
    if let Some(at) = way.iter().position(|before| before == module) {
        let names = way[at..]
            .iter()
            .chain([module])
            .map(|module| module.join("::"));
        return Some(names.collect::<Vec<_>>().join(" → "));
    }
    if done.contains(module) {
        return None;
    }
    way.push(module.clone());
    let found = imports
        .get(module)
        .into_iter()
        .flatten()
        .find_map(|next| circle(imports, next, way, done));
    way.pop();
    done.insert(module.clone());
    found
}

#[test]
fn the_files_of_the_relay_import_each_other_in_no_circle() {
    let imports = imports(&sources());
    let mut done = BTreeSet::new();
    let circles = imports
        .keys()
        .filter_map(|module| circle(&imports, module, &mut Vec::new(), &mut done));
    report(
        &circles.collect::<Vec<_>>(),
        "move what both need to a file below both, or hand over the plain value",
    );
}

#[test]
fn imports_are_seen_through_braces_and_facades() {
    let mut found = Vec::new();
    expand(
        "crate::core::{Feed, relay::{self, Relay as Handle}}",
        &mut Vec::new(),
        &mut found,
    );
    let found: Vec<_> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        [
            "crate::core::Feed",
            "crate::core::relay",
            "crate::core::relay::Relay"
        ]
    );
    let imports = imports(&sources());
    let ensures = |module: &str| module.split("::").map(str::to_owned).collect::<Path>();
    let demand = &imports[&ensures("feed::demand")];
    assert!(demand.contains(&ensures("core::relay")), "{demand:?}");
}
