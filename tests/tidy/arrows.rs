//! Who may import whom, through what crates bring with them too.

use crate::{metadata, report, root};
use cargo_metadata::{DependencyKind, Metadata, NodeDep, Package, PackageId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// The Astral crates that each room may import. A room that is not here is a service of the
/// cluster.
const ROOMS: &[(&str, &[&str])] = &[
    ("astral-proto", &[]),
    ("astral-runtime", &[]),
    ("astral-chassis", &["astral-runtime"]),
    ("astral-media", &["astral-proto"]),
    ("astral-env", &["astral-proto"]),
    (
        "astral-backend",
        &["astral-proto", "astral-env", "astral-runtime"],
    ),
    (
        "astral-relay",
        &[
            "astral-proto",
            "astral-env",
            "astral-media",
            "astral-runtime",
        ],
    ),
    (
        "astral-service",
        &[
            "astral-proto",
            "astral-env",
            "astral-backend",
            "astral-chassis",
            "astral-runtime",
        ],
    ),
    (
        "astral-node",
        &[
            "astral-proto",
            "astral-env",
            "astral-relay",
            "astral-chassis",
            "astral-runtime",
        ],
    ),
    (
        "astralnode",
        &[
            "astral-proto",
            "astral-env",
            "astral-node",
            "astral-relay",
            "astral-chassis",
            "astral-runtime",
        ],
    ),
];
/// What a service of the cluster may import, unless [`NEVER`] says otherwise.
const OF_SERVICES: &[&str] = &[
    "astral-proto",
    "astral-env",
    "astral-media",
    "astral-relay",
    "astral-backend",
    "astral-chassis",
    "astral-runtime",
    "astral-service",
    "astral-node",
];
/// The folders of the only ones that may see everything.
const SEE_ALL: &[&str] = &["services/astral/", "tests/", "bench/"];
/// What a crate must not reach, however far down.
const NEVER: &[(&str, &[&str])] = &[
    ("astral-proto", &["tokio", "warp", "async-nats", "redis"]),
    ("astral-env", &["warp", "async-nats", "redis"]),
    ("astral-media", &["tokio", "warp", "async-nats", "redis"]),
    (
        "astral-runtime",
        &["clap", "warp", "hyper", "async-nats", "redis"],
    ),
    ("astral-relay", &["clap", "warp", "async-nats", "redis"]),
    ("astral-chassis", &["async-nats", "redis"]),
    (
        "astral-rest-gateway",
        &["astral-relay", "astral-media", "astral-node"],
    ),
    ("astralnode", &["astral-backend", "async-nats", "redis"]),
];
/// Crates that one room alone may name; services reach them through it.
const CLIENTS: &[&str] = &["async-nats", "redis"];
const OWNER_OF_CLIENTS: &str = "astral-backend";

/// The resolved imports of every package.
struct Graph {
    metadata: Metadata,
    imports: HashMap<PackageId, Vec<NodeDep>>,
}

impl Graph {
    fn read() -> Self {
        let metadata = metadata();
        let nodes = metadata
            .resolve
            .clone()
            .expect("cargo metadata resolves")
            .nodes;
        let imports = nodes.into_iter().map(|node| (node.id, node.deps)).collect();
        Self { metadata, imports }
    }

    fn ours(&self) -> Vec<&Package> {
        self.metadata.workspace_packages()
    }

    fn name(&self, id: &PackageId) -> &str {
        self.metadata[id].name.as_str()
    }

    /// What a package imports itself, in its tests too.
    fn direct(&self, package: &Package) -> Vec<&str> {
        self.imports[&package.id]
            .iter()
            .map(|import| self.name(&import.pkg))
            .collect()
    }

    /// Everything that is built into a package, each with one way that leads to it.
    fn reached(&self, package: &Package) -> BTreeMap<String, String> {
        let mut ways = BTreeMap::new();
        let mut queue = VecDeque::from([(&package.id, package.name.to_string())]);
        while let Some((id, way)) = queue.pop_front() {
            for import in self.imports[id].iter().filter(|import| is_built_in(import)) {
                let name = self.name(&import.pkg);
                if !ways.contains_key(name) {
                    let way = format!("{way} → {name}");
                    ways.insert(name.to_owned(), way.clone());
                    queue.push_back((&import.pkg, way));
                }
            }
        }
        ways
    }
}

/// Whether the import is more than one for tests or for a build script.
fn is_built_in(import: &NodeDep) -> bool {
    import
        .dep_kinds
        .iter()
        .any(|kind| kind.kind == DependencyKind::Normal)
}

fn allowed(name: &str) -> &'static [&'static str] {
    ROOMS
        .iter()
        .find(|(room, _)| *room == name)
        .map_or(OF_SERVICES, |(_, allowed)| allowed)
}

fn sees_all(package: &Package) -> bool {
    let manifest = package
        .manifest_path
        .as_std_path()
        .strip_prefix(root())
        .expect("it is of this repository");
    SEE_ALL.iter().any(|folder| manifest.starts_with(folder))
}

fn is_ours(graph: &Graph, name: &str) -> bool {
    graph.ours().iter().any(|package| package.name == name)
}

#[test]
fn each_room_imports_only_the_rooms_below_it() {
    let graph = Graph::read();
    let mut complaints = Vec::new();
    for package in graph
        .ours()
        .into_iter()
        .filter(|package| !sees_all(package))
    {
        let name = package.name.as_str();
        let imported = graph
            .direct(package)
            .into_iter()
            .filter(|import| is_ours(&graph, import));
        let wrong = imported.filter(|import| !allowed(name).contains(import));
        complaints.extend(wrong.map(|import| format!("{name} imports {import}")));
    }
    let advice = "move what is needed to a crate that both may import, or ask for it over the bus; services never \
                  import each other (ARCHITECTURE.md; the arrows stand in tests/tidy/arrows.rs)";
    report(&complaints, advice);
}

#[test]
fn nothing_forbidden_is_reached_through_what_crates_bring_with_them() {
    let graph = Graph::read();
    let mut complaints = Vec::new();
    for (name, never) in NEVER {
        let package = graph
            .ours()
            .into_iter()
            .find(|package| package.name == *name);
        let package = package.unwrap_or_else(|| panic!("there is no crate {name}"));
        let reached = graph.reached(package);
        complaints.extend(
            never
                .iter()
                .filter_map(|never| reached.get(*never))
                .cloned(),
        );
    }
    report(
        &complaints,
        "drop the import, or the feature of a crate that brings it",
    );
}

#[test]
fn only_the_backend_names_nats_and_redis() {
    let graph = Graph::read();
    let others = |package: &&Package| package.name != OWNER_OF_CLIENTS && !sees_all(package);
    let ours = graph.ours().into_iter().filter(others);
    let names = |package: &Package| {
        let direct = graph
            .direct(package)
            .into_iter()
            .filter(|import| CLIENTS.contains(import));
        direct
            .map(|client| format!("{} imports {client}", package.name))
            .collect::<Vec<_>>()
    };
    let complaints: Vec<_> = ours.flat_map(names).collect();
    report(
        &complaints,
        "use astral_backend::Bus and astral_backend::State",
    );
}

#[test]
fn the_arrows_name_crates_that_exist() {
    let graph = Graph::read();
    let rooms = ROOMS
        .iter()
        .flat_map(|(room, allowed)| [room].into_iter().chain(*allowed));
    let missing = rooms
        .filter(|room| !is_ours(&graph, room))
        .map(|room| format!("there is no crate {room}"));
    report(
        &missing.collect::<Vec<_>>(),
        "take it out of tests/tidy/arrows.rs, or correct its name there",
    );
}

#[test]
fn what_crates_bring_with_them_is_seen() {
    let graph = Graph::read();
    let forwarder = graph
        .ours()
        .into_iter()
        .find(|package| package.name == "astral-media-forwarder");
    let reached = graph.reached(forwarder.expect("there is a media forwarder"));
    assert_eq!(
        reached["astral-media"],
        "astral-media-forwarder → astral-relay → astral-media"
    );
    assert!(
        !reached.contains_key("proptest"),
        "what tests alone import is not built in"
    );
}
