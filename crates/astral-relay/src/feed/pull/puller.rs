//! Pulling a stream: tickets from the broker, one link after the other, and failover when a
//! provider fails. The subscriber does all of this by itself; the broker is asked before a link, or
//! told after it.

use super::failover::{Failover, STANDBY_RETRY};
use super::handover;
use super::link::{Failing, Link};
use super::link_end::LinkEnd;
use super::ready_link::ReadyLink;
use crate::core::{FeedToken, LET_GO_AFTER, PullTickets, Relay, StartedPull, Stream};
use crate::failover_cause::FailoverCause;
use crate::observe::{self, Episode};
use astral_proto::limits::PUBLISHER_GRACE;
use astral_proto::message::{CancelTicket, ConfirmTicket, Offer, RequestTicket, SwitchTicket};
use astral_proto::{Code, Problem, Slug, TicketId};
use opentelemetry::Context;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Instrument;

/// Pulls `stream` until it ends, nobody wants it, or somebody else feeds it.
pub fn spawn(relay: &Relay, stream: Arc<Stream>, started: StartedPull) {
    // Started here and not in the task, so that the trace of the request that wanted the stream is
    // its parent.
    let episode = Episode::join(relay.node(), &stream.slug);
    relay.spawn(run(relay.clone(), stream, started, episode));
}

async fn run(relay: Relay, stream: Arc<Stream>, started: StartedPull, episode: Episode) {
    let StartedPull { token, tickets } = started;
    let mut pull = Pull::new(&relay, &stream, &token, &tickets, &episode);
    tokio::select! {
        biased;
        () = token.revoked().cancelled() => {}
        () = pull.run() => {}
        never = cancel_unwanted(&relay, &stream.slug, &tickets) => match never {},
    }
    for id in tickets.drop_all() {
        cancel(&relay, &stream.slug, id).await;
    }
}

/// Cancels tickets that are no longer wanted, while links are followed.
async fn cancel_unwanted(relay: &Relay, slug: &Slug, tickets: &PullTickets) -> Infallible {
    loop {
        cancel(relay, slug, tickets.next_cancel().await).await;
    }
}

/// Cancels a ticket. If the broker cannot be reached, the ticket ends by itself, because this relay
/// holds it no longer.
async fn cancel(relay: &Relay, slug: &Slug, id: TicketId) {
    let request = CancelTicket {
        id,
        node: relay.node(),
    };
    if let Err(problem) = relay.control().cancel_ticket(slug, request).await {
        tracing::debug!(ticket.id = %id, %problem, "ticket not cancelled");
    }
}

/// Why a link is no longer followed.
enum Followed {
    /// It has ended.
    Ended(LinkEnd),
    /// A link to a better provider has replaced it.
    Moved(Box<(Offer, ReadyLink)>),
}

/// What a pull does after its last ticket.
enum Next {
    /// It asks for another one.
    RequestTicket,
    /// It stops, because the stream has ended.
    Stop,
}

struct Pull<'a> {
    relay: &'a Relay,
    stream: &'a Arc<Stream>,
    token: &'a FeedToken,
    tickets: &'a PullTickets,
    failover: Failover,
    /// The failure that interrupted the frames, until the next frame arrives.
    failing: Option<Failing>,
    episode: &'a Episode,
}

impl<'a> Pull<'a> {
    fn new(
        relay: &'a Relay,
        stream: &'a Arc<Stream>,
        token: &'a FeedToken,
        tickets: &'a PullTickets,
        episode: &'a Episode,
    ) -> Self {
        Self {
            relay,
            stream,
            token,
            tickets,
            failover: Failover::default(),
            failing: None,
            episode,
        }
    }

    async fn run(&mut self) {
        loop {
            match self.request_ticket().await {
                Ok(active) => match self.follow_until_out_of_tickets(active).await {
                    Next::RequestTicket => {}
                    Next::Stop => return,
                },
                Err(problem) if self.gives_up(&problem) => return,
                Err(problem) => self.wait_to_retry(&problem).await,
            }
        }
    }

    /// Asks the broker for a ticket and a standby, and reports the tickets that are no longer used.
    async fn request_ticket(&mut self) -> Result<Offer, Problem> {
        let left = self.tickets.leave_all();
        let request = RequestTicket {
            slug: self.stream.slug.clone(),
            subscriber: self.relay.node(),
            exclude: self.failover.excluded().to_vec(),
            left: left.clone(),
        };
        let asking = self
            .relay
            .control()
            .request_ticket(request)
            .instrument(self.episode.broker_span("request tickets"));
        let tickets = asking.await?;
        self.tickets.mark_reported(&left);
        self.tickets.set(tickets.active.clone(), tickets.standby);
        self.stream
            .feed
            .update(|feed| feed.set_no_ticket(self.token, None));
        Ok(tickets.active)
    }

    /// Stops the pull if asking again is of no use: the stream has ended, does not exist, or nobody
    /// waits for it any more. Providers that are away are no reason: they may return, and readers
    /// stay.
    fn gives_up(&mut self, problem: &Problem) -> bool {
        let is_over = self.is_over(problem);
        let holds_nothing = self.stream.log.newest_entry().is_none();
        let has_not_begun = holds_nothing && problem.code == Code::NotBegun;
        if !is_over && !has_not_begun && self.stream.unused_for() <= LET_GO_AFTER {
            return false;
        }
        self.episode.refused(problem);
        // The end of a stream that was here before is shown again. A log that never held a frame
        // stays open, because it would remain ended after the stream begins.
        if is_over && (problem.code == Code::Gone || !holds_nothing) {
            self.end(problem.clone());
        } else {
            self.stream
                .feed
                .update(|feed| feed.refuse(self.token, problem.clone()));
        }
        true
    }

    /// Whether `problem` means that the stream is over. If frames came a moment ago it does not,
    /// because the control plane may have lost its state. Without a frame for the grace window, the
    /// publisher cannot resume.
    fn is_over(&self, problem: &Problem) -> bool {
        let last_frame = self.stream.log.last_frame_at();
        let flowed_lately = last_frame.is_some_and(|last| last.elapsed() < PUBLISHER_GRACE);
        matches!(problem.code, Code::NotFound | Code::Gone) && !flowed_lately
    }

    /// Ends the stream here, for `problem`.
    fn end(&self, problem: Problem) {
        // The log first: whoever sees that the feed has ended reads the end of the log.
        self.stream.log.end();
        self.stream
            .feed
            .update(|feed| feed.end_pull(self.token, problem));
    }

    async fn wait_to_retry(&mut self, problem: &Problem) {
        tracing::debug!(stream.slug = %self.stream.slug, %problem, "no ticket");
        let has_lost_upstream = self.failing.is_some();
        self.stream.feed.update(|feed| {
            feed.set_no_ticket(self.token, Some(problem.clone()));
            if has_lost_upstream {
                feed.set_upstream_ok(self.token, false);
            }
        });
        let wait = self.failover.no_ticket(&mut self.relay.env().random());
        tokio::time::sleep(wait).await;
    }

    /// Follows the link by `active`, then by one standby after the other, until a new ticket must
    /// be requested. After a failure the standby is used at once, and the broker hears of it only
    /// when the new link is open: no frame waits for the broker.
    async fn follow_until_out_of_tickets(&mut self, active: Offer) -> Next {
        let mut active = active;
        let mut left = None;
        let mut ready = None;
        loop {
            let link_end = match self.follow(&active, left, ready.take()).await {
                Followed::Ended(link_end) => link_end,
                Followed::Moved(moved) => {
                    tracing::info!(
                        stream.slug = %self.stream.slug, provider.id = %moved.0.provider, provider.left = %active.provider, "moved"
                    );
                    let (offer, link) = *moved;
                    active = offer;
                    left = None;
                    ready = Some(link);
                    self.tickets.complete_move(&active);
                    continue;
                }
            };
            match link_end {
                LinkEnd::StreamEnded => {
                    self.note_end();
                    return Next::Stop;
                }
                LinkEnd::Failed(cause) | LinkEnd::Refused(cause) => {
                    self.note_failure(&active, cause);
                }
                LinkEnd::FrameGone => self.failover.frame_gone(),
            }
            self.failover.exclude(active.provider);
            let Some(standby) = self.tickets.use_standby() else {
                return Next::RequestTicket;
            };
            left = Some(std::mem::replace(&mut active, standby).id);
        }
    }

    /// The provider says that the stream has ended.
    fn note_end(&self) {
        let detail = format!("stream {:?} has ended", self.stream.slug.as_str());
        self.end(Problem::new(Code::Gone, detail));
    }

    fn note_failure(&mut self, active: &Offer, cause: FailoverCause) {
        observe::provider_failed(&self.stream.slug, active.provider, cause);
        let since = self.stream.log.last_frame_at().unwrap_or_else(Instant::now);
        self.failing.get_or_insert(Failing {
            since,
            cause,
            left: active.provider,
        });
        self.episode.failover(cause, active.provider);
    }

    /// Follows one link until it ends or is replaced. Beside it, the broker is told what it must
    /// know, so that no frame waits for the broker.
    async fn follow(
        &mut self,
        active: &Offer,
        left: Option<TicketId>,
        ready: Option<ReadyLink>,
    ) -> Followed {
        let opened = Notify::new();
        let lost = self.tickets.lost(active.id);
        let before = self.stream.log.next_expected();
        let accepts_gap = self.failover.accepts_gap(self.tickets.has_standby());
        let link = Link {
            relay: self.relay,
            stream: self.stream,
            token: self.token,
            tickets: self.tickets,
            offer: active,
            from: before.filter(|_| !accepts_gap),
            opened: &opened,
            failing: self.failing,
            episode: self.episode,
        };
        let reports = self.report_to_broker(active, left, &opened, self.episode.context());
        let followed = tokio::select! {
            biased;
            link_end = link.run(ready) => Followed::Ended(link_end),
            () = lost.cancelled() => Followed::Ended(LinkEnd::Failed(FailoverCause::TicketLost)),
            moved = self.move_when_offered() => moved,
            never = reports => match never {},
        };
        self.tickets.link_closed(active.id);
        if self.stream.log.next_expected() > before {
            self.failover.settled();
            self.failing = None;
        }
        followed
    }

    /// Waits for a ticket to move to, and opens a link by it. If that fails, the relay stays: the
    /// present link still serves.
    async fn move_when_offered(&self) -> Followed {
        loop {
            let offer = self.tickets.next_move().await;
            let link = Link {
                relay: self.relay,
                stream: self.stream,
                token: self.token,
                tickets: self.tickets,
                offer: &offer,
                from: self.stream.log.next_expected(),
                opened: &Notify::new(),
                failing: None,
                episode: self.episode,
            };
            match handover::prepare(&link).await {
                Ok(ready) => return Followed::Moved(Box::new((offer, ready))),
                Err(link_end) => {
                    tracing::info!(stream.slug = %self.stream.slug, provider.id = %offer.provider, ?link_end, "not moved");
                    self.tickets.abandon_move(&offer);
                }
            }
        }
    }

    /// Tells the broker which ticket is in use, and asks for a standby until there is one.
    async fn report_to_broker(
        &self,
        active: &Offer,
        left: Option<TicketId>,
        opened: &Notify,
        context: Context,
    ) -> Infallible {
        opened.notified().await;
        let span = Episode::broker_span_in(context, "settle tickets");
        self.report_ticket(active, left).instrument(span).await;
        loop {
            tokio::time::sleep(STANDBY_RETRY).await;
            if !self.tickets.has_standby() {
                self.ask_for_standby(active, None).await;
            }
        }
    }

    /// Confirms a new ticket, or reports that `left` was replaced by its standby.
    async fn report_ticket(&self, active: &Offer, left: Option<TicketId>) {
        if left.is_none() {
            let confirm = ConfirmTicket {
                id: active.id,
                subscriber: self.relay.node(),
            };
            if let Err(problem) = self
                .relay
                .control()
                .confirm_ticket(&self.stream.slug, confirm)
                .await
            {
                tracing::debug!(%problem, "ticket not confirmed");
            }
        }
        if left.is_some() || !self.tickets.has_standby() {
            self.ask_for_standby(active, left).await;
        }
    }

    async fn ask_for_standby(&self, active: &Offer, left: Option<TicketId>) {
        let request = SwitchTicket {
            slug: self.stream.slug.clone(),
            subscriber: self.relay.node(),
            active: active.id,
            left,
        };
        match self.relay.control().switch_ticket(request).await {
            Ok(answer) => {
                self.tickets.mark_reported(left.as_slice());
                self.tickets.set_standby(answer.standby);
            }
            Err(problem) => tracing::debug!(%problem, "no standby"),
        }
    }
}
