//! What each crate's manifest must say.

use crate::{metadata, report, text};

/// What stands in every manifest of the workspace.
const SAID: &[(&str, &str)] = &[
    ("[lints]\nworkspace = true", "the workspace's lints hold"),
    (
        "version.workspace = true",
        "all crates are released together",
    ),
    ("edition.workspace = true", "all crates are of one edition"),
    ("license.workspace = true", "all crates have one licence"),
    (
        "rust-version.workspace = true",
        "all crates build with one compiler",
    ),
];

#[test]
fn every_crate_takes_lints_and_versions_from_the_workspace() {
    let mut complaints = Vec::new();
    for package in metadata().workspace_packages() {
        let manifest =
            std::fs::read_to_string(&package.manifest_path).expect("a manifest is there");
        let missing = SAID.iter().filter(|(line, _)| !manifest.contains(line));
        complaints.extend(
            missing.map(|(line, why)| format!("{}: no {line:?}, so that {why}", package.name)),
        );
    }
    report(&complaints, "add the line to the crate's Cargo.toml");
}

#[test]
fn every_crate_says_what_it_is_for() {
    let packages = metadata();
    let silent = packages
        .workspace_packages()
        .into_iter()
        .filter(|package| package.description.is_none());
    let complaints: Vec<_> = silent.map(|package| package.name.to_string()).collect();
    report(
        &complaints,
        "add a description of one sentence to the crate's Cargo.toml",
    );
}

#[test]
fn versions_stand_in_one_place() {
    let mut complaints = Vec::new();
    for package in metadata().workspace_packages() {
        let manifest =
            std::fs::read_to_string(&package.manifest_path).expect("a manifest is there");
        let sections = manifest
            .split("\n[")
            .filter(|section| section.contains("dependencies]"));
        let lines = sections.flat_map(|section| section.lines().skip(1));
        let own = lines.filter(|line| line.contains(" = ") && !line.contains("workspace = true"));
        complaints.extend(own.map(|line| format!("{}: {line}", package.name)));
    }
    report(
        &complaints,
        "put the version and the reason into the root Cargo.toml, `workspace = true` here",
    );
}

#[test]
fn images_are_built_by_the_compiler_that_developers_use() {
    let toolchain = text("rust-toolchain.toml").expect("the toolchain is pinned");
    let channel = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .expect("it names a channel")
        .trim_matches('"');
    let dockerfile = text("Dockerfile").expect("there is a Dockerfile");
    let base = format!("rust:{channel}-slim-");
    assert!(
        dockerfile.contains(&base),
        "BASE_RUST of the Dockerfile is not {base}, as in rust-toolchain.toml"
    );
}
