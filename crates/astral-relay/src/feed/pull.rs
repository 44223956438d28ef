//! Pulling a stream from a provider, and failing over when the provider fails: the subscriber's own act.

mod arrived;
mod failover;
mod handover;
mod link;

use crate::core::Relay;
use crate::core::{IDLE, Seat, Stream, Supply};
use crate::failover_cause::FailoverCause;
use crate::observe::{self, Episode};
use astral_proto::limits::PUBLISHER_GRACE;
use astral_proto::message::{CancelTicket, ConfirmTicket, Offer, RequestTicket, SwitchTicket};
use astral_proto::{Code, Problem, TicketId};
pub use failover::{Failover, STANDBY_RETRY};
use handover::Made;
pub use link::Failing;
use link::{Follow, Parted};
use opentelemetry::Context;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Instrument;

/// Pulls `stream` until it ends, nobody wants it, or the seat is taken; `episode` is its joining.
pub async fn run(relay: Relay, stream: Arc<Stream>, seat: Seat, episode: Episode) {
    let mut pull = Pull::new(&relay, &stream, &episode);
    tokio::select! {
        biased;
        () = seat.taken.cancelled() => {}
        () = pull.run() => stream.set_kept(false),
        never = give_back(&relay, &stream) => match never {},
    }
    for id in stream
        .held
        .out_of_use()
        .into_iter()
        .chain(stream.held.clear())
    {
        cancel(&relay, &stream, id).await;
    }
    stream.leave_seat(&seat);
}

/// Cancels tickets as they are not wanted any more, while links are followed.
async fn give_back(relay: &Relay, stream: &Stream) -> Infallible {
    loop {
        cancel(relay, stream, stream.held.unwanted().await).await;
    }
}

/// Cancels a ticket if the broker can be told; else it ends by itself, since it is not held.
async fn cancel(relay: &Relay, stream: &Stream, id: TicketId) {
    let request = CancelTicket {
        id,
        node: relay.node(),
    };
    if let Err(problem) = relay.control().cancel_ticket(&stream.slug, request).await {
        tracing::debug!(ticket.id = %id, %problem, "ticket not cancelled");
    }
}

/// How the following of a link ended.
enum Left {
    /// It is over.
    Parted(Parted),
    /// Another one has taken its place.
    Moved(Box<(Offer, Made)>),
}

/// What becomes of a pull after a link.
enum Next {
    /// Go on by another ticket.
    Again,
    /// The stream has ended.
    Stop,
}

struct Pull<'a> {
    relay: &'a Relay,
    stream: &'a Arc<Stream>,
    failover: Failover,
    /// The first failure that no frame has followed yet.
    failing: Option<Failing>,
    episode: &'a Episode,
}

impl<'a> Pull<'a> {
    fn new(relay: &'a Relay, stream: &'a Arc<Stream>, episode: &'a Episode) -> Self {
        Self {
            relay,
            stream,
            failover: Failover::default(),
            failing: None,
            episode,
        }
    }

    async fn run(&mut self) {
        loop {
            match self.request().await {
                Ok(active) => match self.follow_until_out_of_tickets(active).await {
                    Next::Again => {}
                    Next::Stop => return,
                },
                Err(problem) if self.gives_up(&problem) => return,
                Err(problem) => self.wait_to_retry(&problem).await,
            }
        }
    }

    async fn request(&mut self) -> Result<Offer, Problem> {
        let left = self.stream.held.out_of_use();
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
            .instrument(self.episode.books("request tickets"));
        let tickets = asking.await?;
        self.stream.held.told(&left);
        self.stream
            .held
            .set(tickets.active.clone(), tickets.standby);
        self.stream.note_no_ticket(None);
        Ok(tickets.active)
    }

    /// Whether there is no use in asking on: the stream has ended or does not exist, or nobody waits for it any more. That
    /// its providers are away is no end: they may come back, and readers stay.
    fn gives_up(&mut self, problem: &Problem) -> bool {
        let is_over = self.is_over(problem);
        let holds_nothing = self.stream.log.newest_entry().is_none();
        let has_not_begun = holds_nothing && problem.code == Code::NotBegun;
        let gives_up = is_over || has_not_begun || self.stream.unused_for() > IDLE;
        // The end of a stream that was here before is shown again. A log that never held a frame stays open: ended, it
        // would stay so when the stream begins.
        if is_over && (problem.code == Code::Gone || !holds_nothing) {
            self.stream.log.end();
        }
        if gives_up {
            self.episode.refused(problem);
            self.stream
                .supply
                .send_replace(Supply::Refused(problem.clone()));
        }
        gives_up
    }

    /// Whether `problem` says that the stream is over. Of a stream of which frames came just now it says nothing: the
    /// control plane may have heard of nothing for a while. Once none came for the grace window, the publisher cannot
    /// resume.
    fn is_over(&self, problem: &Problem) -> bool {
        let flowed_lately = || {
            self.stream
                .log
                .last_frame_at()
                .is_some_and(|last| last.elapsed() < PUBLISHER_GRACE)
        };
        matches!(problem.code, Code::NotFound | Code::Gone) && !flowed_lately()
    }

    async fn wait_to_retry(&mut self, problem: &Problem) {
        tracing::debug!(stream.slug = %self.stream.slug, %problem, "no ticket");
        self.stream.note_no_ticket(Some(problem.clone()));
        if self.failing.is_some() {
            self.stream.set_upstream_ok(false);
        }
        let wait = self.failover.no_ticket(&mut rand::rng());
        tokio::time::sleep(wait).await;
    }

    /// Follows `active`, then standby after standby, until a new ticket must be asked for.
    async fn follow_until_out_of_tickets(&mut self, active: Offer) -> Next {
        let mut active = active;
        let mut left = None;
        let mut made = None;
        loop {
            let parted = match self.follow(&active, left, made.take()).await {
                Left::Parted(parted) => parted,
                Left::Moved(moved) => {
                    tracing::info!(
                        stream.slug = %self.stream.slug, provider.id = %moved.0.provider, provider.left = %active.provider, "moved"
                    );
                    (active, left, made) = (moved.0, None, Some(moved.1));
                    self.stream.held.moved_to(&active);
                    continue;
                }
            };
            match parted {
                Parted::Ended => {
                    self.note_end();
                    return Next::Stop;
                }
                Parted::Failed(cause) | Parted::Refused(cause) => self.note_failure(&active, cause),
                Parted::Gone => self.failover.frame_gone(),
            }
            self.failover.parted(active.provider);
            let Some(standby) = self.stream.held.fail_over() else {
                return Next::Again;
            };
            left = Some(std::mem::replace(&mut active, standby).id);
        }
    }

    /// The provider says that the stream has ended. Viewers that wait for its first frame hear of it.
    fn note_end(&self) {
        self.stream.log.end();
        let detail = format!("stream {:?} has ended", self.stream.slug.as_str());
        self.stream
            .supply
            .send_replace(Supply::Refused(Problem::new(Code::Gone, detail)));
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

    /// One link, with what the broker must hear of it told beside it, so that no frame waits for the broker.
    async fn follow(&mut self, active: &Offer, left: Option<TicketId>, made: Option<Made>) -> Left {
        let opened = Notify::new();
        let revoked = self.stream.held.revoked(active.id);
        let before = self.stream.log.next_expected();
        let accepts_gap = self.failover.accepts_gap(self.stream.held.has_standby());
        let follow = Follow {
            relay: self.relay,
            stream: self.stream,
            offer: active,
            from: before.filter(|_| !accepts_gap),
            opened: &opened,
            failing: self.failing,
            episode: self.episode,
        };
        let books = self.keep_books(active, left, &opened, self.episode.context());
        let left = tokio::select! {
            biased;
            parted = follow.run(made) => Left::Parted(parted),
            () = revoked.cancelled() => Left::Parted(Parted::Failed(FailoverCause::TicketLost)),
            moved = self.make_next() => moved,
            never = books => match never {},
        };
        self.stream.held.parted(active.id);
        if self.stream.log.next_expected() > before {
            self.failover.settled();
            self.failing = None;
        }
        left
    }

    /// Waits until there is a better ticket than the one in use, and makes a link by it. One that cannot be had is given
    /// up: the present link serves on, as long as its provider lets it.
    async fn make_next(&self) -> Left {
        loop {
            let offer = self.stream.held.told_to_move().await;
            let follow = Follow {
                relay: self.relay,
                stream: self.stream,
                offer: &offer,
                from: self.stream.log.next_expected(),
                opened: &Notify::new(),
                failing: None,
                episode: self.episode,
            };
            match follow.make().await {
                Ok(made) => return Left::Moved(Box::new((offer, made))),
                Err(parted) => {
                    tracing::info!(stream.slug = %self.stream.slug, provider.id = %offer.provider, ?parted, "not moved");
                    self.stream.held.not_moved_to(&offer);
                }
            }
        }
    }

    /// Tells the broker which ticket is in use, and gets a standby as soon as there can be one.
    async fn keep_books(
        &self,
        active: &Offer,
        left: Option<TicketId>,
        opened: &Notify,
        context: Context,
    ) -> Infallible {
        opened.notified().await;
        let span = Episode::books_in(context, "settle tickets");
        self.settle_books(active, left).instrument(span).await;
        loop {
            tokio::time::sleep(STANDBY_RETRY).await;
            if !self.stream.held.has_standby() {
                self.ask_for_standby(active, None).await;
            }
        }
    }

    /// Confirms a ticket that is new, or tells of the one that was `left` for a standby.
    async fn settle_books(&self, active: &Offer, left: Option<TicketId>) {
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
        if left.is_some() || !self.stream.held.has_standby() {
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
                self.stream.held.told(left.as_slice());
                self.stream.held.set_standby(answer.standby);
            }
            Err(problem) => tracing::debug!(%problem, "no standby"),
        }
    }
}
