//! `astral-supernode-coordinator`: the coordinator as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    astral_service::run::<astral_supernode_coordinator::CoordinatorService>()
}
