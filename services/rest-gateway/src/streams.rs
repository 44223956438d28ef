//! Streams: list, create, get, delete, and a stream's tree; and its origin, for relays outside the cluster.

use crate::answer::{Created, Json, NoContent};
use crate::call::{Body, Call, NoQuery};
use crate::request::PageQuery;
use astral_proto::message::{
    ChangeStream, CreateStream, DeleteStream, GetStream, GetTree, GoLive, Grant, ListStreams, PublisherGone,
};
use astral_proto::model::{Page, Stream, Tree};
use astral_proto::rest::{NewStream, StreamChange};
use astral_proto::{NodeId, Problem, Slug};

impl Body for NewStream {}

impl Body for StreamChange {}

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

pub(crate) async fn list(call: Call<(), PageQuery>) -> Result<Json<Page<Stream>>, Problem> {
    let ask = ListStreams { cursor: call.query.cursor::<Slug>()?, limit: call.query.limit()? };
    Ok(Json(call.gateway.ask(ask).await?))
}

pub(crate) async fn create(call: Call<(), NoQuery, NewStream>) -> Result<Created<Stream>, Problem> {
    let NewStream { slug, key } = call.body;
    let at = format!("/v1/streams/{slug}");
    Ok(Created { value: call.gateway.ask(CreateStream { slug, key }).await?, at })
}

pub(crate) async fn get(call: Call<Slug>) -> Result<Json<Stream>, Problem> {
    Ok(Json(call.gateway.ask(GetStream { slug: call.at }).await?))
}

/// Pauses a stream or lets it go on, and changes its key.
pub(crate) async fn change(call: Call<Slug, NoQuery, StreamChange>) -> Result<Json<Stream>, Problem> {
    let StreamChange { streaming, key } = call.body;
    Ok(Json(call.gateway.ask(ChangeStream { slug: call.at, streaming, key }).await?))
}

pub(crate) async fn delete(call: Call<Slug>) -> Result<NoContent, Problem> {
    call.gateway.ask(DeleteStream { slug: call.at }).await?;
    Ok(NoContent)
}

pub(crate) async fn tree(call: Call<Slug>) -> Result<Json<Tree>, Problem> {
    Ok(Json(call.gateway.ask(GetTree { slug: call.at }).await?))
}

/// Lets a relay outside the cluster be origin.
pub(crate) async fn go_live(call: Call<Slug, NoQuery, GoLive>) -> Result<Json<Grant>, Problem> {
    Ok(Json(call.gateway.ask(call.body).await?))
}

/// An origin outside the cluster has lost its publisher.
pub(crate) async fn publisher_gone(call: Call<Slug, NoQuery, PublisherGone>) -> Result<NoContent, Problem> {
    call.gateway.ask(call.body).await?;
    Ok(NoContent)
}
