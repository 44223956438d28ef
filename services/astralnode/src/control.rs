//! The control plane over the gateway's REST.

use crate::client::Client;
use astral_proto::limits::{HEARTBEAT_INTERVAL, LEASE};
use astral_proto::message::{
    CancelTicket, ConfirmTicket, GoLive, Grant, Heartbeat, HeartbeatReply, Leave, PublisherGone,
    Register, Registered, RequestTicket, Standby, SwitchTicket, Tickets,
};
use astral_proto::rest::{Switch, TicketChange};
use astral_proto::{NodeId, Problem, Slug};
use astral_relay::control::{Answer, ControlPlane};
use bytes::Bytes;
use http::Method;
use std::sync::Arc;
use std::time::Duration;

/// How long one gateway may take: longer than the 3 s that it gives the service behind it, and so
/// short that a heartbeat which finds its gateway frozen has another keep the lease.
const WAIT: Duration = Duration::from_millis(3_300);
const _: () = assert!(HEARTBEAT_INTERVAL.as_millis() + WAIT.as_millis() + 500 < LEASE.as_millis());
/// The same for a ticket: a gateway gives the broker 6 s, which may have a supernode fetch the
/// stream first.
const TICKET_WAIT: Duration = Duration::from_millis(6_500);

/// Asks the gateway.
pub struct RestControlPlane {
    client: Arc<Client>,
}

impl RestControlPlane {
    /// Over `client`.
    pub fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    async fn change(
        &self,
        slug: &Slug,
        subscriber: NodeId,
        change: TicketChange,
    ) -> Result<Standby, Problem> {
        let path = format!("/v1/node/streams/{slug}/tickets/{subscriber}");
        self.client.ask(Method::PUT, &path, &change, WAIT).await
    }

    fn delete(&self, path: String) -> Answer<'_, ()> {
        Box::pin(async move {
            self.client
                .send(Method::DELETE, &path, Bytes::new(), WAIT)
                .await
                .map(drop)
        })
    }
}

impl ControlPlane for RestControlPlane {
    fn register(&self, request: Register) -> Answer<'_, Registered> {
        Box::pin(async move {
            self.client
                .ask(Method::POST, "/v1/node", &request, WAIT)
                .await
        })
    }

    fn heartbeat(&self, statement: Heartbeat) -> Answer<'_, HeartbeatReply> {
        let path = format!("/v1/node/{}", statement.node);
        Box::pin(async move { self.client.ask(Method::PUT, &path, &statement, WAIT).await })
    }

    fn leave(&self, request: Leave) -> Answer<'_, ()> {
        self.delete(format!("/v1/node/{}", request.node))
    }

    fn go_live(&self, request: GoLive) -> Answer<'_, Grant> {
        let path = format!("/v1/node/streams/{}/origin", request.slug);
        Box::pin(async move { self.client.ask(Method::PUT, &path, &request, WAIT).await })
    }

    fn publisher_gone(&self, report: PublisherGone) -> Answer<'_, ()> {
        let path = format!("/v1/node/streams/{}/origin/gone", report.slug);
        Box::pin(async move {
            self.client
                .tell(Method::POST, &path, &report, WAIT)
                .await
                .map(drop)
        })
    }

    fn request_ticket(&self, request: RequestTicket) -> Answer<'_, Tickets> {
        let path = format!("/v1/node/streams/{}/tickets", request.slug);
        Box::pin(async move {
            self.client
                .ask(Method::POST, &path, &request, TICKET_WAIT)
                .await
        })
    }

    fn confirm_ticket(&self, slug: &Slug, request: ConfirmTicket) -> Answer<'_, ()> {
        let slug = slug.clone();
        let confirm = TicketChange::Confirm(request.id);
        Box::pin(async move {
            self.change(&slug, request.subscriber, confirm)
                .await
                .map(drop)
        })
    }

    fn switch_ticket(&self, request: SwitchTicket) -> Answer<'_, Standby> {
        let switch = TicketChange::Switch(Switch {
            active: request.active,
            left: request.left,
        });
        Box::pin(async move { self.change(&request.slug, request.subscriber, switch).await })
    }

    fn cancel_ticket(&self, slug: &Slug, request: CancelTicket) -> Answer<'_, ()> {
        self.delete(format!(
            "/v1/node/streams/{slug}/tickets/{}?id={}",
            request.node, request.id
        ))
    }
}
