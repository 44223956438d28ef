//! `astral-directory`: the directory as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    astral_service::run::<astral_directory::DirectoryService>()
}
