//! Opening a listener, and an error that says what to do if that fails.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// A listener cannot be opened. The text names the flag and the address, and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {address} cannot be opened: {}", advice(cause))]
pub struct ListenError {
    /// The flag that sets the address, such as `--media-listen`.
    pub flag: &'static str,
    /// The address that the flag set.
    pub address: SocketAddr,
    /// The error of the operating system.
    pub cause: io::Error,
}

/// Opens a listener at `address`, which `flag` sets. Returns it and its real address: port 0 takes
/// a free port.
///
/// # Errors
/// [`ListenError`] if the address is taken, not of this machine, or not permitted.
pub async fn bind(
    flag: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bound = TcpListener::bind(address).await.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|cause| ListenError {
        flag,
        address,
        cause,
    })
}

fn advice(cause: &io::Error) -> String {
    match cause.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there; give another address, or port 0 for a free port".to_owned()
        }
        ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability NET_BIND_SERVICE; give it, or give a port above 1023"
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
