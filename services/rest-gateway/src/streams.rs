//! Streams: list, create, get, delete, and a stream's tree; and its origin, for relays outside the
//! cluster.

use crate::answer::{Created, Json, NoContent};
use crate::call::{Body, Call, NoQuery, Query};
use crate::error::{Error, shown};
use crate::page::PageQuery;
use astral_proto::message::{
    ChangeStream, CreateStream, DeleteStream, GetStream, GetTree, GoLive, Grant, ListStreams,
    PublisherGone,
};
use astral_proto::model::{Page, Stream, StreamState, Tree};
use astral_proto::rest::{NewStream, StreamChange};
use astral_proto::{NodeId, Slug};
use schemars::JsonSchema;
use serde::Deserialize;

impl Body for NewStream {
    fn slug(&self) -> Option<&Slug> {
        Some(&self.slug)
    }

    fn changes(&self) -> String {
        if self.key.is_some() {
            "key".to_owned()
        } else {
            String::new()
        }
    }
}

impl Body for StreamChange {
    fn changes(&self) -> String {
        let streaming = self
            .streaming
            .map(|streaming| format!("streaming={streaming}"));
        let key = self.key.as_ref().map(|_| "key".to_owned());
        streaming
            .into_iter()
            .chain(key)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Body for GoLive {
    fn slug(&self) -> Option<&Slug> {
        Some(&self.slug)
    }

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }
}

impl Body for PublisherGone {
    fn slug(&self) -> Option<&Slug> {
        Some(&self.slug)
    }

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }
}

/// Which page of the streams is wanted, and of which streams.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamsQuery {
    /// Most items on the page, 1 to 1000; 100 unless asked otherwise.
    limit: Option<u32>,
    /// Where the page starts, as the page before it said.
    cursor: Option<String>,
    /// Only streams in this state: `live`, `grace`, or both with a comma between. A page of these
    /// may have fewer items than `limit` and not be the last one.
    state: Option<String>,
}

impl Query for StreamsQuery {}

pub(crate) async fn list(call: Call<(), StreamsQuery>) -> Result<Json<Page<Stream>>, Error> {
    let StreamsQuery {
        limit,
        cursor,
        state,
    } = call.query;
    let page = PageQuery::new(limit, cursor);
    let states = state
        .as_deref()
        .map(states)
        .transpose()?
        .unwrap_or_default();
    let ask = ListStreams {
        cursor: page.cursor::<Slug>()?,
        limit: page.limit()?,
        states,
    };
    Ok(Json(call.gateway.ask(ask).await?))
}

/// The states that streams may be listed by, in `text`.
fn states(text: &str) -> Result<Vec<StreamState>, Error> {
    let state = |name: &str| match name {
        "live" => Ok(StreamState::Live),
        "grace" => Ok(StreamState::Grace),
        other => Err(Error::WrongState {
            state: shown(other),
        }),
    };
    text.split(',').map(state).collect()
}

pub(crate) async fn create(call: Call<(), NoQuery, NewStream>) -> Result<Created<Stream>, Error> {
    let NewStream { slug, key } = call.body;
    let at = format!("/v1/streams/{slug}");
    Ok(Created {
        value: call.gateway.ask(CreateStream { slug, key }).await?,
        at,
    })
}

pub(crate) async fn get(call: Call<Slug>) -> Result<Json<Stream>, Error> {
    Ok(Json(call.gateway.ask(GetStream { slug: call.at }).await?))
}

/// Pauses a stream or lets it go on, and changes its key.
pub(crate) async fn change(call: Call<Slug, NoQuery, StreamChange>) -> Result<Json<Stream>, Error> {
    let StreamChange { streaming, key } = call.body;
    Ok(Json(
        call.gateway
            .ask(ChangeStream {
                slug: call.at,
                streaming,
                key,
            })
            .await?,
    ))
}

pub(crate) async fn delete(call: Call<Slug>) -> Result<NoContent, Error> {
    call.gateway.ask(DeleteStream { slug: call.at }).await?;
    Ok(NoContent)
}

pub(crate) async fn tree(call: Call<Slug>) -> Result<Json<Tree>, Error> {
    Ok(Json(call.gateway.ask(GetTree { slug: call.at }).await?))
}

/// Lets a relay outside the cluster be origin.
pub(crate) async fn go_live(call: Call<Slug, NoQuery, GoLive>) -> Result<Json<Grant>, Error> {
    Ok(Json(call.gateway.ask(call.body).await?))
}

/// An origin outside the cluster has lost its publisher.
pub(crate) async fn publisher_gone(
    call: Call<Slug, NoQuery, PublisherGone>,
) -> Result<NoContent, Error> {
    call.gateway.ask(call.body).await?;
    Ok(NoContent)
}
