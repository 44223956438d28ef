//! What every handler works with.

use crate::relays::Relays;
use astral_backend::Bus;
use astral_proto::{Problem, message::Request};
use http::StatusCode;
use serde::Serialize;
use std::time::Duration;
use warp::reply::{Reply, Response};

/// Longest a service may take to answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What every handler works with.
pub(crate) struct Gateway {
    pub(crate) bus: Bus,
    pub(crate) relays: Relays,
    /// Whether faults may be put on nodes.
    pub(crate) drills: bool,
}

impl Gateway {
    /// Asks the service that serves `R`.
    ///
    /// # Errors
    /// As [`Bus::request`].
    pub(crate) async fn ask<R: Request>(&self, request: R) -> Result<R::Reply, Problem> {
        self.bus.request(&request, ANSWER_WITHIN).await
    }
}

/// A JSON document with status 200.
pub(crate) fn json(value: &impl Serialize) -> Response {
    warp::reply::json(value).into_response()
}

/// An answer without a body.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
