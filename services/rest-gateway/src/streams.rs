//! Streams: list, create, get, delete, and a stream's tree.

use crate::gateway::{Gateway, json, no_content};
use crate::request::PageQuery;
use astral_proto::message::{CreateStream, DeleteStream, GetStream, GetTree, ListStreams};
use astral_proto::{Problem, Slug};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use warp::reply::Response;

pub(crate) async fn list(query: PageQuery, gateway: Arc<Gateway>) -> Result<Response, Problem> {
    let limit = query.limit()?;
    Ok(json(&gateway.ask(ListStreams { cursor: query.cursor, limit }).await?))
}

pub(crate) async fn create(stream: CreateStream, gateway: Arc<Gateway>) -> Result<Response, Problem> {
    let location = format!("/v1/streams/{}", stream.slug);
    let mut response = json(&gateway.ask(stream).await?);
    *response.status_mut() = StatusCode::CREATED;
    let location = HeaderValue::try_from(location).expect("a slug is plain ASCII: it was parsed");
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

pub(crate) async fn get(slug: String, gateway: Arc<Gateway>) -> Result<Response, Problem> {
    let slug: Slug = slug.parse()?;
    Ok(json(&gateway.ask(GetStream { slug }).await?))
}

pub(crate) async fn delete(slug: String, gateway: Arc<Gateway>) -> Result<Response, Problem> {
    let slug: Slug = slug.parse()?;
    gateway.ask(DeleteStream { slug }).await?;
    Ok(no_content())
}

pub(crate) async fn tree(slug: String, gateway: Arc<Gateway>) -> Result<Response, Problem> {
    let slug: Slug = slug.parse()?;
    Ok(json(&gateway.ask(GetTree { slug }).await?))
}
