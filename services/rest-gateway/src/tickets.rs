//! Tickets: of one stream, or all; and those of one subscriber, which asks for them, confirms,
//! switches and cancels.

use crate::answer::{Created, Json, NoContent};
use crate::call::{Body, Call, NoQuery, Query};
use crate::error::Error;
use crate::page::PageQuery;
use astral_proto::message::{
    CancelTicket, ConfirmTicket, ListTickets, RequestTicket, Standby, Tickets,
};
use astral_proto::model::{Page, Ticket};
use astral_proto::rest::TicketChange;
use astral_proto::{NodeId, Slug, TicketId};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Longest the broker may take: it may have a supernode fetch the stream first.
const TICKET_WITHIN: Duration = Duration::from_secs(6);

/// Which ticket is no longer wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelQuery {
    /// The ticket.
    id: TicketId,
}

impl Query for CancelQuery {}

impl Body for TicketChange {}

impl Body for RequestTicket {
    fn slug(&self) -> Option<&Slug> {
        Some(&self.slug)
    }

    fn node(&self) -> Option<NodeId> {
        Some(self.subscriber)
    }
}

pub(crate) async fn list(call: Call<(), PageQuery>) -> Result<Json<Page<Ticket>>, Error> {
    page(None, &call).await.map(Json)
}

pub(crate) async fn of_stream(call: Call<Slug, PageQuery>) -> Result<Json<Page<Ticket>>, Error> {
    page(Some(call.at.clone()), &call).await.map(Json)
}

/// The tickets by which one relay pulls one stream, among a page of the stream's: a page may be
/// empty and not the last.
pub(crate) async fn of_subscriber(
    call: Call<(Slug, NodeId), PageQuery>,
) -> Result<Json<Page<Ticket>>, Error> {
    let (slug, subscriber) = call.at.clone();
    let mut page = page(Some(slug), &call).await?;
    page.items.retain(|ticket| ticket.subscriber == subscriber);
    Ok(Json(page))
}

async fn page<P>(slug: Option<Slug>, call: &Call<P, PageQuery>) -> Result<Page<Ticket>, Error> {
    let cursor = call.query.cursor::<TicketId>()?;
    let limit = call.query.limit()?;
    let ask = ListTickets {
        slug,
        cursor,
        limit,
    };
    Ok(call.gateway.ask(ask).await?)
}

pub(crate) async fn request(
    call: Call<Slug, NoQuery, RequestTicket>,
) -> Result<Created<Tickets>, Error> {
    let at = format!("/v1/streams/{}/tickets/{}", call.at, call.body.subscriber);
    let value = call.gateway.ask_within(&call.body, TICKET_WITHIN).await?;
    Ok(Created { value, at })
}

/// Confirms a ticket, or switches to the standby; the answer carries the next standby.
pub(crate) async fn change(
    call: Call<(Slug, NodeId), NoQuery, TicketChange>,
) -> Result<Json<Standby>, Error> {
    let (slug, subscriber) = call.at;
    match call.body {
        TicketChange::Confirm(id) => {
            call.gateway.ask(ConfirmTicket { id, subscriber }).await?;
            Ok(Json(Standby::default()))
        }
        TicketChange::Switch(switch) => {
            Ok(Json(call.gateway.ask(switch.of(slug, subscriber)).await?))
        }
    }
}

pub(crate) async fn cancel(call: Call<(Slug, NodeId), CancelQuery>) -> Result<NoContent, Error> {
    call.gateway
        .ask(CancelTicket {
            id: call.query.id,
            node: call.at.1,
        })
        .await?;
    Ok(NoContent)
}
