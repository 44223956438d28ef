//! A request as its handler receives it: path, query and body are read, limited in size, and do not
//! contradict each other.

use crate::body::{self, Pieces};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::rights::Caller;
use astral_proto::{NodeId, Problem, Slug};
use http::{HeaderMap, Method};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de::DeserializeOwned};
use std::future::Future;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use warp::ws::Ws;

/// A request of which only the head has been read.
pub(crate) struct Incoming {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    /// Set if the caller asks for a WebSocket.
    pub(crate) socket: Option<Ws>,
    pub(crate) pieces: Pieces,
    pub(crate) gateway: Arc<Gateway>,
}

/// A request that has been read.
pub(crate) struct Call<P = (), Q = NoQuery, B = NoBody> {
    /// The variable parts of the path.
    pub(crate) at: P,
    pub(crate) query: Q,
    pub(crate) body: B,
    pub(crate) headers: HeaderMap,
    pub(crate) socket: Option<Ws>,
    /// Cancelled when the caller loses the right to do this.
    pub(crate) revoked: CancellationToken,
    /// Path and query as they were sent.
    pub(crate) raw: (String, String),
    pub(crate) gateway: Arc<Gateway>,
}

impl<P: FromPath, Q: Query, B: Body> Call<P, Q, B> {
    /// Reads `incoming`. `parts` are the variable parts of its path.
    ///
    /// # Errors
    /// `bad_request` if something cannot be read, or path and body differ; `forbidden` if the
    /// caller acts for a node that is not its own.
    pub(crate) async fn read(
        incoming: Incoming,
        parts: &[String],
        caller: Caller,
    ) -> Result<Self, Error> {
        let Incoming {
            path,
            query,
            headers,
            socket,
            pieces,
            gateway,
            ..
        } = incoming;
        let at = P::read(parts)?;
        caller.may_act_for(at.node())?;
        let read_query = Q::read(&query)?;
        let body = B::read(pieces).await?;
        agree("stream", at.slug(), body.slug())?;
        agree("node", at.node().as_ref(), body.node().as_ref())?;
        caller.may_act_for(body.node())?;
        Ok(Self {
            at,
            query: read_query,
            body,
            headers,
            socket,
            revoked: caller.revoked(),
            raw: (path, query),
            gateway,
        })
    }
}

/// Refuses a body that is about another thing than the path.
fn agree<T: PartialEq + ToString>(
    kind: &'static str,
    path: Option<&T>,
    body: Option<&T>,
) -> Result<(), Error> {
    match (path, body) {
        (Some(path), Some(body)) if path != body => Err(Error::Contradiction {
            kind,
            path: path.to_string(),
            body: body.to_string(),
        }),
        _ => Ok(()),
    }
}

/// The variable parts of a path.
pub(crate) trait FromPath: Sized + Send + 'static {
    /// Reads the parts. Their number is that of the path template.
    fn read(parts: &[String]) -> Result<Self, Problem>;
    /// Their schemas, in order.
    fn schemas(generator: &mut SchemaGenerator) -> Vec<Schema>;
    /// The stream that it names.
    fn slug(&self) -> Option<&Slug> {
        None
    }
    /// The node that it names.
    fn node(&self) -> Option<NodeId> {
        None
    }
}

impl FromPath for () {
    fn read(_: &[String]) -> Result<Self, Problem> {
        Ok(())
    }

    fn schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        Vec::new()
    }
}

impl FromPath for String {
    fn read(parts: &[String]) -> Result<Self, Problem> {
        Ok(parts[0].clone())
    }

    fn schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({"type": "string"})]
    }
}

impl FromPath for Slug {
    fn read(parts: &[String]) -> Result<Self, Problem> {
        parts[0].parse()
    }

    fn schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Self>()]
    }

    fn slug(&self) -> Option<&Slug> {
        Some(self)
    }
}

impl FromPath for NodeId {
    fn read(parts: &[String]) -> Result<Self, Problem> {
        parts[0].parse()
    }

    fn schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Self>()]
    }

    fn node(&self) -> Option<NodeId> {
        Some(*self)
    }
}

impl FromPath for (Slug, NodeId) {
    fn read(parts: &[String]) -> Result<Self, Problem> {
        Ok((parts[0].parse()?, parts[1].parse()?))
    }

    fn schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![
            generator.subschema_for::<Slug>(),
            generator.subschema_for::<NodeId>(),
        ]
    }

    fn slug(&self) -> Option<&Slug> {
        Some(&self.0)
    }

    fn node(&self) -> Option<NodeId> {
        Some(self.1)
    }
}

/// The fields of a query. An unknown field is an error that names it.
pub(crate) trait Query: DeserializeOwned + JsonSchema + Send + 'static {
    /// Reads them.
    fn read(text: &str) -> Result<Self, Error> {
        serde_urlencoded::from_str(text).map_err(Error::WrongQuery)
    }
}

/// No query fields at all.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

impl Query for NoQuery {}

/// Any query, for a handler that reads it itself.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct AnyQuery {}

impl Query for AnyQuery {
    fn read(_: &str) -> Result<Self, Error> {
        Ok(Self {})
    }
}

/// A body; JSON by default.
pub(crate) trait Body: DeserializeOwned + JsonSchema + Send + 'static {
    /// Largest body, in bytes.
    const BYTES_MAX: usize = body::BODY_BYTES_MAX;

    /// The stream that it is about.
    fn slug(&self) -> Option<&Slug> {
        None
    }

    /// The node that it acts for.
    fn node(&self) -> Option<NodeId> {
        None
    }

    /// What it changes, for the log: never a key or a token. Empty if the name of the operation
    /// says everything.
    fn changes(&self) -> String {
        String::new()
    }

    /// Its media type and schema. None if no body is read.
    fn content(generator: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        Some(("application/json", generator.subschema_for::<Self>()))
    }

    /// Reads it.
    fn read(pieces: Pieces) -> impl Future<Output = Result<Self, Error>> + Send {
        async {
            let bytes = body::read(pieces, Self::BYTES_MAX).await?;
            serde_json::from_slice(&bytes).map_err(Error::WrongBody)
        }
    }
}

/// No body. If one arrives, it is not read.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NoBody {}

impl Body for NoBody {
    fn content(_: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        None
    }

    async fn read(_: Pieces) -> Result<Self, Error> {
        Ok(Self {})
    }
}
