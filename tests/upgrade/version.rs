//! The two versions, by the folders of their programs.

use harness::processes::built_folder;
use std::path::PathBuf;

/// The variable that names the folder with the programs of the previous release.
const PREVIOUS: &str = "ASTRAL_PREVIOUS";

/// A version of all programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The last release.
    Previous,
    /// The code that this test is built from.
    This,
}

impl Version {
    /// Where its programs are.
    ///
    /// # Panics
    /// If those of the previous release are not built.
    pub fn folder(self) -> PathBuf {
        match self {
            Self::Previous => std::env::var_os(PREVIOUS)
                .unwrap_or_else(|| panic!("{PREVIOUS} is not set: run `make test-upgrade`"))
                .into(),
            Self::This => built_folder(),
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Previous => Self::This,
            Self::This => Self::Previous,
        }
    }
}
