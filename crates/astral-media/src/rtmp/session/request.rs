//! Finds out which stream a peer wants, from connect, publish and play. Encoders differ in where
//! they put app, name and query.

use crate::rtmp::SessionError;
use crate::rtmp::amf0::Value;

/// Longest app, name and query together, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 2048;

/// The usual application.
const APPLICATION: &str = "live";
/// The name of the default instance of an application in Flash Media Server.
const DEFAULT_INSTANCE: &str = "_definst_";
/// Container names that peers put before or after the name of a stream.
const CONTAINERS: [&str; 5] = ["flv", "mp4", "f4v", "mov", "mp3"];

/// The stream that a peer wants to publish or play.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamRequest {
    /// The application, such as `live` or `live/0`. Every value is accepted, including none.
    pub app: String,
    /// The name of the stream: the last part of the address, without the query.
    pub name: String,
    /// The query as it came, such as `key=KEY`. It contains secrets.
    pub query: Option<String>,
}

impl StreamRequest {
    /// Returns the value of a parameter in the query, without decoding it.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.as_deref()?.split('&');
        pairs
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

impl std::fmt::Debug for StreamRequest {
    /// The query is left out: it contains the publish key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamRequest")
            .field("app", &self.app)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The content of `connect`. It has no Debug, because it contains secrets.
pub(super) struct Connection {
    app: String,
    app_query: Option<String>,
}

impl Connection {
    /// Reads the command object of connect.
    pub(super) fn new(object: Option<&Value>) -> Self {
        let property = |name| {
            object
                .and_then(|object| object.get(name))
                .and_then(Value::as_str)
                .unwrap_or("")
        };
        let (app, app_query) = split_query(property("app"));
        let (_, url_query) = split_query(property("tcUrl"));
        Self {
            app: app.to_owned(),
            app_query: app_query.or(url_query).map(str::to_owned),
        }
    }

    /// Returns the stream that a publish or play with this name means. Its name is empty if the
    /// peer named none.
    pub(super) fn request(&self, given: &str) -> Result<StreamRequest, SessionError> {
        let app_query = self.app_query.as_deref().unwrap_or("");
        let length = self.app.len() + app_query.len() + given.len();
        if length > ADDRESS_BYTES_MAX {
            return Err(SessionError::AddressLength {
                length,
                limit: ADDRESS_BYTES_MAX,
            });
        }
        let cut = self.query_cut_at_a_slash(app_query, given);
        let (path, query) = match &cut {
            Some(whole) => ("", Some(whole.as_str())),
            None => split_query(given),
        };
        let app_query = Some(app_query).filter(|query| cut.is_none() && !query.is_empty());
        let mut address = segments(&self.app);
        address.extend(segments(without_host(path)));
        let name = take_name(&mut address);
        Ok(StreamRequest {
            app: address.join("/"),
            name,
            query: joined(query, app_query),
        })
    }

    /// Some encoders split `rtmp://HOST/live/SLUG?key=A/B` at the last slash, into the app
    /// `live/SLUG?key=A` and the name `B`. Returns the whole query in that case.
    fn query_cut_at_a_slash(&self, app_query: &str, given: &str) -> Option<String> {
        let names_stream = match segments(&self.app)[..] {
            [_, last] => !last.eq_ignore_ascii_case(DEFAULT_INSTANCE),
            _ => false,
        };
        let is_cut = names_stream && !app_query.is_empty() && !given.is_empty();
        is_cut.then(|| format!("{app_query}/{given}"))
    }
}

/// Removes the name of the stream from the end of an address. Returns an empty name if the address
/// is only an application: `rtmp://HOST/NAME` has a name and no application, but in
/// `rtmp://HOST/live` the stream key was left out.
fn take_name(address: &mut Vec<&str>) -> String {
    let is_application = match address[..] {
        [] => true,
        [only] => {
            only.eq_ignore_ascii_case(APPLICATION) || only.eq_ignore_ascii_case(DEFAULT_INSTANCE)
        }
        [.., last] => last.eq_ignore_ascii_case(DEFAULT_INSTANCE),
    };
    let last = if is_application { None } else { address.pop() };
    last.map_or("", without_container).to_owned()
}

/// Returns the parts of a path. Double, leading and trailing slashes have no effect.
fn segments(path: &str) -> Vec<&str> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .collect()
}

/// Returns the path of a URL that was sent instead of a name.
fn without_host(given: &str) -> &str {
    match given.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => given,
    }
}

/// Returns a name without the container that Flash puts before it (`flv:NAME`) or after it
/// (`mp4:NAME.mp4`).
fn without_container(name: &str) -> &str {
    let is_container = |text: &str| {
        CONTAINERS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(text))
    };
    let name = name
        .split_once(':')
        .filter(|(before, _)| is_container(before))
        .map_or(name, |(_, name)| name);
    name.rsplit_once('.')
        .filter(|(_, behind)| is_container(behind))
        .map_or(name, |(name, _)| name)
}

fn joined(first: Option<&str>, second: Option<&str>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}&{second}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

/// Splits an address from its query. Some encoders begin the query with `&`.
fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once(['?', '&']) {
        Some((path, query)) => (path, Some(query).filter(|query| !query.is_empty())),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(app: &str, url: &str, given: &str) -> StreamRequest {
        let properties = [("app", app), ("tcUrl", url)];
        let object = Value::Object(
            properties
                .map(|(name, text)| (name.to_owned(), text.into()))
                .to_vec(),
        );
        Connection::new(Some(&object)).request(given).unwrap()
    }

    #[test]
    fn the_same_stream_and_key_are_found_wherever_encoders_put_them() {
        let url = "rtmp://h/live";
        for (app, url, given) in [
            ("live", url, "SLUG?key=K"),
            ("live/", url, "/SLUG?key=K"),
            ("live?key=K", "rtmp://h/live?key=K", "SLUG"),
            ("live", "rtmp://h/live?key=K", "SLUG"),
            ("live/SLUG?key=K", url, ""),
        ] {
            let request = request(app, url, given);
            assert_eq!(
                (&*request.app, &*request.name),
                ("live", "SLUG"),
                "{app} {given}"
            );
            assert_eq!(request.query.as_deref(), Some("key=K"), "{app} {given}");
            assert_eq!(request.parameter("key"), Some("K"));
        }
    }

    #[test]
    fn the_stream_is_the_last_part_of_any_address() {
        let url = "rtmp://h/live";
        for (app, given) in [
            ("live/0", "SLUG?key=K"),
            ("live", "0/SLUG?key=K"),
            ("live/_definst_", "SLUG?key=K"),
            ("live/_definst_?key=K", "SLUG"),
            ("_definst_", "SLUG?key=K"),
            ("LIVE", "SLUG?key=K"),
            ("my.app/v1.2", "SLUG?key=K"),
            ("a/b/c", "d/e/SLUG?key=K"),
            ("a/b/c?key=K", "SLUG"),
            ("", "SLUG?key=K"),
            ("SLUG?key=K", ""),
            ("SLUG", "?key=K"),
            ("live", "flv:SLUG?key=K"),
            ("live", "mp4:SLUG.mp4?key=K"),
            ("live", "MP4:live/SLUG?key=K"),
            ("live", "SLUG.flv?key=K"),
            ("live", "rtmp://h/live/SLUG?key=K"),
            ("live", "rtmps://h:443/live/0/SLUG?key=K"),
            ("", "rtmp://h/SLUG?key=K"),
            ("live", "SLUG&key=K"),
            ("live", "SLUG&key=K&"),
            ("//live//", "//SLUG//?key=K"),
        ] {
            let request = request(app, url, given);
            assert_eq!(request.name, "SLUG", "{app:?} {given:?}");
            assert_eq!(request.parameter("key"), Some("K"), "{app:?} {given:?}");
        }
    }

    #[test]
    fn an_address_that_names_no_stream_has_an_empty_name() {
        for (app, given) in [
            ("live", ""),
            ("LIVE/", "/"),
            ("live", "?key=K"),
            ("live", "&key=K"),
            ("live/_definst_", ""),
            ("", ""),
            ("live", "rtmp://h/"),
            ("live", "rtmp://h"),
        ] {
            assert_eq!(
                request(app, "rtmp://h/live", given).name,
                "",
                "{app:?} {given:?}"
            );
        }
    }

    #[test]
    fn a_stream_may_have_the_name_of_the_application() {
        assert_eq!(request("live", "", "live").name, "live");
        assert_eq!(request("live/live?key=K", "", "").name, "live");
    }

    #[test]
    fn key_with_a_slash_is_joined_again() {
        let request = request("live/SLUG?key=A", "rtmp://h/live/SLUG?key=A", "B");
        assert_eq!(
            (&*request.name, request.parameter("key")),
            ("SLUG", Some("A/B"))
        );
    }

    #[test]
    fn name_without_a_query_has_none() {
        assert_eq!(request("live", "", "SLUG").query, None);
        assert_eq!(request("live/SLUG", "", "").name, "SLUG");
        assert_eq!(request("live", "", "SLUG?").query, None);
    }

    #[test]
    fn parameters_of_app_and_name_are_both_kept() {
        let request = request("live?key=K", "", "SLUG?latency=economy");
        assert_eq!(
            (request.parameter("key"), request.parameter("latency")),
            (Some("K"), Some("economy"))
        );
    }

    #[test]
    fn the_query_is_not_in_debug_output() {
        let text = format!("{:?}", request("live", "", "SLUG?key=secret"));
        assert!(text.contains("SLUG") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn address_over_the_limit_is_refused() {
        let refused = Connection::new(None).request(&"x".repeat(ADDRESS_BYTES_MAX + 1));
        assert_eq!(
            refused,
            Err(SessionError::AddressLength {
                length: 2049,
                limit: 2048
            })
        );
    }
}
