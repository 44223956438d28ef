//! `astralnode`: a relay for any machine, which needs only a gateway.

use std::process::ExitCode;

fn main() -> ExitCode {
    astralnode::run()
}
