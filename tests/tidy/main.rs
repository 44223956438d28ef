//! The house itself: who imports whom, how long files are, whether documents agree with the code.

mod arrows;
mod fields;
mod files;
mod flags;
mod layers;
mod lets;
mod manifests;
mod prose;

use cargo_metadata::{Metadata, MetadataCommand};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top of the repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the tests stand one below the top")
        .to_owned()
}

/// What cargo knows of the workspace and of all it is built from.
fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    let offline = ["--offline".to_owned(), "--locked".to_owned()];
    let command = MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(offline)
        .exec();
    command.expect("cargo metadata reads the workspace")
}

/// Every file of the repository, tracked or about to be, with its path from the top.
fn files() -> Vec<String> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists files");
    assert!(
        listing.status.success(),
        "git does not list files: {}",
        String::from_utf8_lossy(&listing.stderr)
    );
    let listing = String::from_utf8(listing.stdout).expect("paths are UTF-8");
    let present = |path: &&str| root().join(path).is_file();
    let files: Vec<_> = listing.lines().filter(present).map(str::to_owned).collect();
    assert!(
        files.len() > 100,
        "only {} files are listed: this is not the repository",
        files.len()
    );
    files
}

/// The text of a file; none if it is not text.
fn text(path: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(path)).ok()?).ok()
}

/// Fails with every complaint, and with what to do about them.
fn report(complaints: &[String], advice: &str) {
    assert!(
        complaints.is_empty(),
        "\n  {}\n{advice}",
        complaints.join("\n  ")
    );
}
