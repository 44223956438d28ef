//! `astral-rest-gateway`: REST, the web application, and redirects to relays.

use std::process::ExitCode;

fn main() -> ExitCode {
    astral_service::run::<astral_rest_gateway::GatewayService>()
}
