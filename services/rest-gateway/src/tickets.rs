//! Tickets: of one stream, or all.

use crate::gateway::{Gateway, json};
use crate::request::PageQuery;
use astral_proto::message::ListTickets;
use astral_proto::{Problem, Slug};
use std::sync::Arc;
use warp::reply::Response;

pub(crate) async fn list(query: PageQuery, gateway: Arc<Gateway>) -> Result<Response, Problem> {
    page(None, query, &gateway).await
}

pub(crate) async fn of_stream(
    slug: String,
    query: PageQuery,
    gateway: Arc<Gateway>,
) -> Result<Response, Problem> {
    page(Some(slug.parse()?), query, &gateway).await
}

async fn page(slug: Option<Slug>, query: PageQuery, gateway: &Gateway) -> Result<Response, Problem> {
    let limit = query.limit()?;
    Ok(json(&gateway.ask(ListTickets { slug, cursor: query.cursor, limit }).await?))
}
