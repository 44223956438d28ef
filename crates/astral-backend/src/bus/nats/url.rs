//! `nats://[user:password@]host:port[,…]`: where the servers are and who this process is to them.

use astral_proto::Secret;
use async_nats::ServerAddr;

/// The servers of one bus, and the credentials for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(super) addresses: Vec<ServerAddr>,
    /// A user, or a token if there is no password.
    pub(super) user: Option<Secret>,
    pub(super) password: Option<Secret>,
}

/// It names no servers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UrlError(String);

impl Servers {
    /// Reads a URL whose scheme is `nats` or `tls`; servers after the first may leave the scheme out.
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        let scheme = url.split_once("://").map_or("nats", |(scheme, _)| scheme);
        let addresses: Result<Vec<_>, _> = url.split(',').map(|one| address(scheme, one)).collect();
        let addresses = addresses?;
        let with_user = addresses.iter().find(|address| address.has_user_pass());
        let user = with_user
            .and_then(|address| address.username())
            .map(percent_decoded)
            .transpose()?;
        let password = with_user
            .and_then(|address| address.password())
            .map(percent_decoded)
            .transpose()?;
        let user = user.map(Secret::from);
        let password = password.map(Secret::from);
        let addresses = addresses
            .iter()
            .map(without_user)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            addresses,
            user,
            password,
        })
    }
}

fn address(scheme: &str, text: &str) -> Result<ServerAddr, UrlError> {
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("{scheme}://{text}")
    };
    let address: ServerAddr = url
        .parse()
        .map_err(|error: std::io::Error| UrlError(error.to_string()))?;
    match (address.scheme(), address.host()) {
        (other, _) if other != scheme => {
            Err(UrlError(format!("{scheme} and {other} do not go together")))
        }
        (_, "") => Err(UrlError("a server has no host".into())),
        _ => Ok(address),
    }
}

/// The address alone: the client writes it into its errors.
fn without_user(address: &ServerAddr) -> Result<ServerAddr, UrlError> {
    let host = address.host();
    // Of an IPv6 address the brackets are not part.
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let text = format!("{}://{host}:{}", address.scheme(), address.port());
    text.parse()
        .map_err(|error: std::io::Error| UrlError(error.to_string()))
}

fn percent_decoded(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(malformed_credentials());
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| malformed_credentials())
}

fn malformed_credentials() -> UrlError {
    UrlError("user and password are percent-encoded UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_after_the_first_share_its_scheme_and_credentials() {
        let servers = Servers::parse("tls://me:p%40ss@one:4222,two:4333").unwrap();
        let urls: Vec<_> = servers
            .addresses
            .iter()
            .map(|address| (address.host(), address.port()))
            .collect();
        assert_eq!(urls, [("one", 4222), ("two", 4333)]);
        assert!(servers.addresses.iter().all(ServerAddr::tls_required));
        assert_eq!(
            (servers.user.as_deref(), servers.password.as_deref()),
            (Some("me"), Some("p@ss"))
        );
        assert!(
            servers
                .addresses
                .iter()
                .all(|address| !address.has_user_pass())
        );
        let printed = format!("{servers:?}");
        assert!(
            !printed.contains("p@ss") && !printed.contains("p%40ss"),
            "{printed}"
        );
    }

    #[test]
    fn urls_that_name_no_server_are_refused_without_their_password() {
        for url in [
            "nats://",
            "nats://a,tls://b",
            "nats://a,,b",
            "nats://u:secret%zz@a",
            "nats://u:secret@a:x",
        ] {
            let error = Servers::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
