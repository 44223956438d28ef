//! `astral`: the whole network in one process.

use std::process::ExitCode;

fn main() -> ExitCode {
    astral::run()
}
