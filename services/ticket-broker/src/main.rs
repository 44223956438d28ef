//! `astral-ticket-broker`: the ticket broker as a process of its own.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    astral_service::run::<astral_ticket_broker::BrokerService>()
}
