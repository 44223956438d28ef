//! The error codes, and the errors that programs send to each other and show to people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The class of an error. Every error in Astral has one of these codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is wrong. Sending it again does not help.
    BadRequest,
    /// The credential is missing or invalid.
    Unauthenticated,
    /// The credential is valid but does not allow this.
    Forbidden,
    /// The requested object does not exist.
    NotFound,
    /// The state of the object excludes the request. For example, the stream already has a publisher.
    Conflict,
    /// The stream exists, but nobody publishes it now.
    NotBegun,
    /// No capacity is left.
    Full,
    /// The object has left the cache.
    Gone,
    /// The caller sends too many requests.
    TooManyRequests,
    /// No answer arrived in time.
    Timeout,
    /// The program is starting, draining or disconnected.
    Unavailable,
    /// The control plane cannot be reached. Media continues.
    ControlPlaneAway,
    /// A fault in Astral.
    Internal,
    /// A code of a later version. The same request may succeed later.
    #[serde(other)]
    Unknown,
}

impl Code {
    /// Every code that this version sends.
    pub const ALL: [Code; 13] = [
        Code::BadRequest,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::Conflict,
        Code::NotBegun,
        Code::Full,
        Code::Gone,
        Code::TooManyRequests,
        Code::Timeout,
        Code::Unavailable,
        Code::ControlPlaneAway,
        Code::Internal,
    ];

    /// The code as JSON and bus headers contain it.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::BadRequest => "bad_request",
            Code::Unauthenticated => "unauthenticated",
            Code::Forbidden => "forbidden",
            Code::NotFound => "not_found",
            Code::Conflict => "conflict",
            Code::NotBegun => "not_begun",
            Code::Full => "full",
            Code::Gone => "gone",
            Code::TooManyRequests => "too_many_requests",
            Code::Timeout => "timeout",
            Code::Unavailable => "unavailable",
            Code::ControlPlaneAway => "control_plane_away",
            Code::Internal => "internal",
            Code::Unknown => "unknown",
        }
    }

    /// The HTTP status for this code.
    pub fn http_status(self) -> u16 {
        match self {
            Code::BadRequest => 400,
            Code::Unauthenticated => 401,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::Conflict => 409,
            Code::Gone => 410,
            Code::TooManyRequests => 429,
            Code::Internal => 500,
            Code::NotBegun
            | Code::Full
            | Code::Unavailable
            | Code::ControlPlaneAway
            | Code::Unknown => 503,
            Code::Timeout => 504,
        }
    }

    /// Whether the same request may succeed later.
    pub fn may_retry(self) -> bool {
        self.retry_after_seconds().is_some()
    }

    /// After how many seconds the same request may succeed, for `Retry-After` (RFC 9110, section 10.2.3); None if it never
    /// will.
    pub fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Code::TooManyRequests | Code::Timeout | Code::Unavailable => Some(1),
            Code::ControlPlaneAway | Code::Unknown => Some(1),
            Code::NotBegun => Some(2),
            Code::Full => Some(5),
            _ => None,
        }
    }
}

/// The detail of [`Code::ControlPlaneAway`] for people.
const CONTROL_PLANE_AWAY: &str =
    "the control plane is unreachable; streams that are here continue; try again later";

/// An error that leaves the program: on the bus, and as an RFC 9457 document over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// The class of the error.
    pub code: Code,
    /// What was wrong, with which value, and what to do: lower case, no final full stop.
    pub detail: String,
}

impl Problem {
    /// A problem of class `code`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// The problem as people outside may see it. It says only that the control plane is unreachable: the addresses of bus and
    /// state, and what is wrong with them, are for the log. A timeout is shown in the same way.
    #[must_use]
    pub fn for_outsiders(self) -> Self {
        match self.code {
            Code::ControlPlaneAway | Code::Timeout => {
                Self::new(Code::ControlPlaneAway, CONTROL_PLANE_AWAY)
            }
            _ => self,
        }
    }

    /// The RFC 9457 document, for `application/problem+json`.
    pub fn document(&self) -> String {
        self.document_value().to_string()
    }

    /// The same document as a JSON value.
    pub fn document_value(&self) -> serde_json::Value {
        let status = self.code.http_status();
        serde_json::json!({
            "type": "about:blank", "title": self.code.as_str().replace('_', " "), "status": status,
            "code": self.code, "detail": self.detail,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outsiders_do_not_hear_where_bus_and_state_are() {
        for code in [Code::ControlPlaneAway, Code::Timeout] {
            let told =
                Problem::new(code, "the state at redis.internal:6379: it is full").for_outsiders();
            assert_eq!(told.code, Code::ControlPlaneAway);
            assert!(!told.detail.contains("redis"), "{told}");
        }
        let other = Problem::new(Code::Conflict, "stream \"demo\" exists already");
        assert_eq!(other.clone().for_outsiders(), other);
    }
}
