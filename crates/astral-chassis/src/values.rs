//! How the values of flags are read. Each error says what is expected.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Reads the address of a listener.
///
/// # Errors
/// What is expected instead.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected IP:PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080; names are not resolved"
            .to_owned()
    })
}

/// Reads the URL of a server, without a slash at its end.
///
/// # Errors
/// What is expected instead.
pub fn parse_http_url(text: &str) -> Result<String, String> {
    let expected =
        || "expected http://HOST[:PORT] or https://HOST[:PORT], without a query".to_owned();
    let url: http::Uri = text.parse().map_err(|_| expected())?;
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    if !has_host || !is_http || url.query().is_some() {
        return Err(expected());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Returns a parser of whole numbers within `range`, whose errors say what is expected.
pub fn parse_number<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            format!(
                "expected a whole number from {} to {}",
                range.start(),
                range.end()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_and_a_port() {
        assert_eq!(
            parse_address("[::1]:80"),
            Ok(SocketAddr::new([0, 0, 0, 0, 0, 0, 0, 1].into(), 80))
        );
        for wrong in [
            "nonsense",
            "127.0.0.1",
            "localhost:80",
            ":80",
            "127.0.0.1:65536",
        ] {
            let error = parse_address(wrong).unwrap_err();
            assert!(error.starts_with("expected IP:PORT"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_url_names_a_server_over_http() {
        assert_eq!(
            parse_http_url("https://a.example:8443/astral/").as_deref(),
            Ok("https://a.example:8443/astral")
        );
        for wrong in [
            "nonsense",
            "ftp://a.example",
            "http://",
            "http://a?b=c",
            "a.example:80",
        ] {
            let error = parse_http_url(wrong).unwrap_err();
            assert!(error.starts_with("expected http://"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_number_is_whole_and_within_its_range() {
        let parse = parse_number(1..=64_u16);
        assert_eq!(parse("64"), Ok(64));
        for wrong in ["nonsense", "0", "65", "-1", "1.5", "", "99999999999"] {
            let error = parse(wrong).unwrap_err();
            assert_eq!(error, "expected a whole number from 1 to 64", "{wrong}");
        }
    }
}
