//! Which stream a peer wants: pieced together from connect, publish and play, where encoders differ.

use crate::rtmp::SessionError;
use crate::rtmp::amf0::Value;

/// Longest app, name and query of a stream together, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 2048;

/// The stream that a peer wants to publish or play.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamRequest {
    /// The application, such as `live`.
    pub app: String,
    /// The stream's name, without a query.
    pub name: String,
    /// The query as it came, such as `key=KEY`. Holds secrets.
    pub query: Option<String>,
}

impl StreamRequest {
    /// The value of a parameter in the query, as it came.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.as_deref()?.split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

impl std::fmt::Debug for StreamRequest {
    /// Without the query, which holds the publish key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamRequest")
            .field("app", &self.app)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What `connect` said. No Debug: it holds secrets.
pub(super) struct Connection {
    app: String,
    app_query: Option<String>,
}

impl Connection {
    /// Reads connect's command object.
    pub(super) fn new(object: Option<&Value>) -> Self {
        let property =
            |name| object.and_then(|object| object.get(name)).and_then(Value::as_str).unwrap_or("");
        let (app, app_query) = split_query(property("app"));
        let (_, url_query) = split_query(property("tcUrl"));
        Self { app: app.trim_matches('/').to_owned(), app_query: app_query.or(url_query).map(str::to_owned) }
    }

    /// The stream meant by the name that publish or play gives.
    pub(super) fn request(&self, given: &str) -> Result<StreamRequest, SessionError> {
        let app_query = self.app_query.as_deref().unwrap_or("");
        let length = self.app.len() + app_query.len() + given.len();
        if length > ADDRESS_BYTES_MAX {
            return Err(SessionError::AddressLength { length, limit: ADDRESS_BYTES_MAX });
        }
        Ok(self.address_in_app(app_query, given).unwrap_or_else(|| self.address_in_name(app_query, given)))
    }

    /// `rtmp://HOST/live/SLUG?key=A/B` reaches some servers cut at its last slash: app `live/SLUG?key=A`, name `B`.
    fn address_in_app(&self, app_query: &str, given: &str) -> Option<StreamRequest> {
        let (app, name) = self.app.split_once('/')?;
        let query = match (app_query, given) {
            ("", "") => None,
            ("", _) => return None,
            (query, "") => Some(query.to_owned()),
            (query, rest) => Some(format!("{query}/{rest}")),
        };
        Some(StreamRequest { app: app.to_owned(), name: name.to_owned(), query })
    }

    fn address_in_name(&self, app_query: &str, given: &str) -> StreamRequest {
        let (name, query) = split_query(given);
        let query = match (query, app_query) {
            (None, "") => None,
            (None, query) => Some(query.to_owned()),
            (Some(query), "") => Some(query.to_owned()),
            (Some(query), more) => Some(format!("{query}&{more}")),
        };
        StreamRequest { app: self.app.clone(), name: name.trim_matches('/').to_owned(), query }
    }
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query).filter(|query| !query.is_empty())),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(app: &str, url: &str, given: &str) -> StreamRequest {
        let properties = [("app", app), ("tcUrl", url)];
        let object = Value::Object(properties.map(|(name, text)| (name.to_owned(), text.into())).to_vec());
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
            assert_eq!((&*request.app, &*request.name), ("live", "SLUG"), "{app} {given}");
            assert_eq!(request.query.as_deref(), Some("key=K"), "{app} {given}");
            assert_eq!(request.parameter("key"), Some("K"));
        }
    }

    #[test]
    fn key_with_a_slash_is_put_together_again() {
        let request = request("live/SLUG?key=A", "rtmp://h/live/SLUG?key=A", "B");
        assert_eq!((&*request.name, request.parameter("key")), ("SLUG", Some("A/B")));
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
        assert_eq!((request.parameter("key"), request.parameter("latency")), (Some("K"), Some("economy")));
    }

    #[test]
    fn the_query_is_not_in_debug_output() {
        let text = format!("{:?}", request("live", "", "SLUG?key=secret"));
        assert!(text.contains("SLUG") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn address_over_the_limit_is_refused() {
        let refused = Connection::new(None).request(&"x".repeat(ADDRESS_BYTES_MAX + 1));
        assert_eq!(refused, Err(SessionError::AddressLength { length: 2049, limit: 2048 }));
    }
}
