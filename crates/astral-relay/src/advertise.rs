//! The address that other relays pull from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Longest name of a host, in bytes (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;
const WANTED: &str =
    "other relays pull from HOST:PORT, such as relay.example:8081 or [fd00::1]:8081";

/// Parses an address that others can connect to: a host, and a port above 0. An IPv6 address gets
/// the brackets that it needs in a URL (RFC 3986, 3.2.2).
///
/// # Errors
/// What is wrong with it, and what is expected.
pub fn parse_advertise(text: &str) -> Result<String, String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("it has no port; {WANTED}"))?;
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(format!("{port:?} is not a port; {WANTED}"));
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_six = bare.unwrap_or(host).parse::<Ipv6Addr>().is_ok();
    if !is_six && (bare.is_some() || !is_host(host)) {
        return Err(format!("{host:?} is not a host; {WANTED}"));
    }
    let address = bare.unwrap_or(host).parse::<IpAddr>();
    if address.is_ok_and(|address| address.is_unspecified()) {
        return Err(format!("nobody can connect to {host}; {WANTED}"));
    }
    Ok(if is_six && bare.is_none() {
        format!("[{host}]:{port}")
    } else {
        text.to_owned()
    })
}

fn is_host(host: &str) -> bool {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
    (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(is_letter)
}

/// Whether others can connect to a relay that listens on `listen` and advertises `advertise`. A
/// relay that listens on all addresses must say which one to use.
pub fn is_reachable(listen: SocketAddr, advertise: Option<&str>) -> bool {
    advertise.is_some() || !listen.ip().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in [
            "relay.example:8081",
            "10.0.0.7:1",
            "[fd00::1]:8081",
            "relay-1:65535",
        ] {
            assert_eq!(parse_advertise(good).as_deref(), Ok(good));
        }
        assert_eq!(
            parse_advertise("fd00::1:8081").as_deref(),
            Ok("[fd00::1]:8081")
        );
        for (bad, said) in [
            ("foo", "no port"),
            (":99999", "\"99999\" is not a port"),
            (":8081", "\"\" is not a host"),
            ("relay.example:0", "\"0\" is not a port"),
            ("relay.example:", "\"\" is not a port"),
            ("http://relay.example:8081", "is not a host"),
            ("two words:8081", "is not a host"),
            ("[relay]:8081", "is not a host"),
            ("0.0.0.0:8081", "nobody can connect to 0.0.0.0"),
            ("[::]:8081", "nobody can connect to [::]"),
        ] {
            let error = parse_advertise(bad).unwrap_err();
            assert!(
                error.contains(said) && error.contains(WANTED),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn what_listens_everywhere_says_where_it_is() {
        for everywhere in ["0.0.0.0:8081", "[::]:8081"] {
            let listen = everywhere.parse().unwrap();
            assert!(
                !is_reachable(listen, None) && is_reachable(listen, Some("relay.example:8081"))
            );
        }
        assert!(is_reachable("127.0.0.1:8081".parse().unwrap(), None));
    }
}
