//! Why a listener cannot be opened, in words that say what to do.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// A listener cannot be opened. Its text names the flag, the address and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {address} cannot be opened: {}", advice(cause))]
pub struct ListenError {
    /// The flag that names the address.
    pub flag: &'static str,
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub cause: io::Error,
}

fn advice(cause: &io::Error) -> String {
    match cause.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there; give another address, or port 0 for a free port".to_owned()
        }
        ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        ErrorKind::PermissionDenied => {
            "the system keeps this port for root; give a port above 1023, or the capability NET_BIND_SERVICE"
                .to_owned()
        }
        _ => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_flag_and_address_and_says_what_to_do() {
        for (kind, advice) in [
            (
                ErrorKind::AddrInUse,
                "another program listens there; give another address",
            ),
            (
                ErrorKind::AddrNotAvailable,
                "this machine does not have that address",
            ),
            (ErrorKind::PermissionDenied, "give a port above 1023"),
        ] {
            let address = "127.0.0.1:80".parse().unwrap();
            let error = ListenError {
                flag: "--media-listen",
                address,
                cause: kind.into(),
            };
            let text = error.to_string();
            assert!(
                text.starts_with("--media-listen 127.0.0.1:80 cannot be opened: "),
                "{text}"
            );
            assert!(text.contains(advice), "{text}");
        }
    }
}
