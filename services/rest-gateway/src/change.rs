//! The log of what callers change: who, what, and on which stream or node.

use crate::call::{Body, Call, FromPath, Incoming, Query};
use crate::error::Error;
use crate::rights::Caller;
use astral_proto::{NodeId, Slug};

/// The name in the log of a caller without a token.
const NOBODY: &str = "-";

/// A request that changes something, for the log.
pub(crate) struct Change {
    /// The name of the caller's token.
    token: String,
    method: String,
    slug: Option<Slug>,
    node: Option<NodeId>,
    what: String,
}

impl Change {
    /// A change of which only the head of the request has been read.
    pub(crate) fn of(incoming: &Incoming, caller: &Caller) -> Self {
        let token = caller.name().unwrap_or(NOBODY).to_owned();
        let method = incoming.method.to_string();
        Self {
            token,
            method,
            slug: None,
            node: None,
            what: String::new(),
        }
    }

    /// Adds what the path and the body say.
    pub(crate) fn with<P: FromPath, Q: Query, B: Body>(self, call: &Call<P, Q, B>) -> Self {
        let slug = call.at.slug().or(call.body.slug()).cloned();
        let node = call.at.node().or(call.body.node());
        Self {
            slug,
            node,
            what: call.body.changes(),
            ..self
        }
    }

    /// Logs the change and its outcome.
    pub(crate) fn log(self, operation: &str, refused: Option<&Error>) {
        let Self {
            token,
            method,
            slug,
            node,
            what,
        } = self;
        let slug = slug.as_ref().map(tracing::field::display);
        let node = node.as_ref().map(tracing::field::display);
        let outcome = refused.map_or("done", |error| error.code().as_str());
        tracing::info!(
            operation,
            token,
            method,
            stream.slug = slug,
            node.id = node,
            what,
            outcome,
            "changed over REST"
        );
    }
}
