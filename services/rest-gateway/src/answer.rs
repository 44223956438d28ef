//! The answers of handlers, each with its status and its schema.

use astral_proto::rest::Event;
use http::{HeaderValue, StatusCode, header};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use warp::reply::{Reply, Response};

/// An answer that can be documented.
pub(crate) trait Answer: Send {
    /// Its status.
    const STATUS: u16;
    /// Its media type and schema. None without a body.
    fn content(generator: &mut SchemaGenerator) -> Option<(&'static str, Schema)>;
    /// The answer itself.
    fn into_response(self) -> Response;
}

/// A JSON document.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize + JsonSchema + Send> Answer for Json<T> {
    const STATUS: u16 = 200;

    fn content(generator: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        Some(("application/json", generator.subschema_for::<T>()))
    }

    fn into_response(self) -> Response {
        warp::reply::json(&self.0).into_response()
    }
}

/// A JSON document about something new, and the path of the new thing.
pub(crate) struct Created<T> {
    pub(crate) value: T,
    /// Its path, in ASCII.
    pub(crate) at: String,
}

impl<T: Serialize + JsonSchema + Send> Answer for Created<T> {
    const STATUS: u16 = 201;

    fn content(generator: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        Json::<T>::content(generator)
    }

    fn into_response(self) -> Response {
        let mut response = warp::reply::json(&self.value).into_response();
        *response.status_mut() = StatusCode::CREATED;
        let at =
            HeaderValue::try_from(self.at).expect("paths are plain ASCII: their parts were parsed");
        response.headers_mut().insert(header::LOCATION, at);
        response
    }
}

/// Success without a body.
pub(crate) struct NoContent;

impl Answer for NoContent {
    const STATUS: u16 = 204;

    fn content(_: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        None
    }

    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Events as they happen: over SSE, or over a WebSocket if the caller asks for one.
pub(crate) struct EventStream(pub(crate) Response);

impl Answer for EventStream {
    const STATUS: u16 = 200;

    fn content(generator: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        Some(("text/event-stream", generator.subschema_for::<Event>()))
    }

    fn into_response(self) -> Response {
        self.0
    }
}

macro_rules! raw_answers {
    ($($(#[$doc:meta])* $name:ident $status:literal $content_type:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name(pub(crate) Response);

            impl Answer for $name {
                const STATUS: u16 = $status;

                fn content(_: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
                    let content_type: Option<&'static str> = $content_type;
                    content_type.map(|content_type| (content_type, json_schema!({"type": "string"})))
                }

                fn into_response(self) -> Response {
                    self.0
                }
            }
        )*
    };
}

raw_answers! {
    /// Plain bytes.
    Octets 200 Some("application/octet-stream");
    /// A page, or a file that belongs to one.
    Page 200 Some("text/html");
    /// A redirect to a relay.
    Redirect 307 None;
    /// A WebSocket.
    Upgraded 101 None;
}
