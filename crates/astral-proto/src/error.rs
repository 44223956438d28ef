//! The error codes, and the shape of an error between programs and towards people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a request failed. Every error in Astral maps to one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request itself is wrong; sending it again will not help.
    BadRequest,
    /// No credential, or one that is not valid.
    Unauthenticated,
    /// A valid credential that does not allow this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The thing is in a state that excludes the request, such as a stream that already has a publisher.
    Conflict,
    /// The stream is known, and nobody publishes it now.
    NotBegun,
    /// No capacity is left for it.
    Full,
    /// The thing was there and has left the cache.
    Gone,
    /// The caller asks too often.
    TooManyRequests,
    /// No answer in time.
    Timeout,
    /// Not now: draining, starting, or cut off.
    Unavailable,
    /// The control services cannot be reached; media goes on.
    ControlPlaneAway,
    /// A fault of ours.
    Internal,
    /// A code of a later version, read from a program that knows it. The same request may succeed later.
    #[serde(other)]
    Unknown,
}

impl Code {
    /// Every code that this version gives.
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

    /// The code as it stands in JSON and bus headers.
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

    /// The HTTP status that carries this code.
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

    /// After how many seconds the same request may succeed, for `Retry-After` (RFC 9110, section 10.2.3); none if it
    /// never will.
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

/// What is said of a control plane that is away.
const CONTROL_PLANE_AWAY: &str =
    "the control plane is away, streams that are here go on; try again later";

/// An error as it crosses a door: on the bus, and as an RFC 9457 document over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// The class of the error.
    pub code: Code,
    /// What was wrong, with which value, and what to do: lower case, no final stop.
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

    /// As whoever is outside may hear it: that the control plane is away, and not where its bus and its state are and what is
    /// wrong with them, which is for the log. One that does not answer in time is away to them too.
    #[must_use]
    pub fn for_outsiders(self) -> Self {
        match self.code {
            Code::ControlPlaneAway | Code::Timeout => {
                Self::new(Code::ControlPlaneAway, CONTROL_PLANE_AWAY)
            }
            _ => self,
        }
    }

    /// The RFC 9457 document, to be sent as `application/problem+json`.
    pub fn document(&self) -> String {
        self.document_value().to_string()
    }

    /// The same, before it is written.
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
