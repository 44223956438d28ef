//! `astral-media-forwarder`: one relay of the cluster.

use std::process::ExitCode;

fn main() -> ExitCode {
    astral_service::run::<astral_media_forwarder::ForwarderService>()
}
