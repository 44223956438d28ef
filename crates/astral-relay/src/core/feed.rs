//! Who feeds a stream, as one value.
//!
//! Each transition is one method, which checks the present state and enters the next one under the
//! same lock. So a publisher, a pull and the host of the relay cannot each believe a different
//! thing about the stream, and a task that was replaced cannot undo what its successor did: it must
//! show its [`FeedToken`].

use super::feed_token::FeedToken;
use super::pull_tickets::PullTickets;
use astral_media::timeline::TimelineProgress;
use astral_proto::limits::PUBLISHER_ALIVE;
use astral_proto::message::FenceReason;
use astral_proto::{Code, Incarnation, Problem, Slug};
use std::sync::Arc;
use tokio::time::Instant;

/// Who feeds a stream.
#[derive(Clone, Debug, Default)]
pub enum Feed {
    /// Nobody. The stream is pulled as soon as somebody asks for it.
    #[default]
    Idle,
    /// A publisher at this relay, or its grace window.
    Origin(OriginFeed),
    /// Links from providers.
    Pulling(PullFeed),
    /// Nobody, because the last pull was given up for this problem. The next request starts another
    /// one.
    Refused(Problem),
    /// Nobody, because the stream has ended. What the log holds stays readable; the next request
    /// asks again.
    Ended(Problem),
    /// Nobody, because the host of this relay does not want it to carry the stream.
    KeptOut,
}

/// A publish that this relay is the origin of.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The history that the publish belongs to.
    pub incarnation: Incarnation,
    /// The epoch of the publish.
    pub epoch: u64,
    /// How far its timeline has come.
    pub progress: TimelineProgress,
    /// When its publisher last sent media.
    pub last_media: Instant,
    /// The same, in Unix milliseconds.
    pub last_media_at: u64,
    /// Whether its publisher is connected. If not, the grace window runs.
    pub has_publisher: bool,
}

/// A stream that is published at this relay.
#[derive(Clone, Debug)]
pub struct OriginFeed {
    token: FeedToken,
    /// The publish.
    pub origin: Origin,
    flows: bool,
    kept: bool,
}

/// A stream that is pulled from providers.
#[derive(Clone, Debug)]
pub struct PullFeed {
    token: FeedToken,
    /// The tickets of this pull. Each pull has its own, so that one that ends cannot drop those of
    /// the next.
    pub tickets: Arc<PullTickets>,
    /// Whether the provider's backlog has arrived, so that viewers can start.
    flows: bool,
    /// False while there is neither a link nor a ticket for one.
    upstream_ok: bool,
    /// Why the last request for a ticket failed.
    no_ticket: Option<Problem>,
    /// Whether the host wants the stream carried even if nobody watches.
    kept: bool,
}

impl PullFeed {
    /// Whether viewers can start.
    pub fn flows(&self) -> bool {
        self.flows
    }
}

/// A pull that may start: its right to append, and its tickets.
#[derive(Debug)]
pub struct StartedPull {
    /// The right to append.
    pub token: FeedToken,
    /// The tickets of the pull; none are held yet.
    pub tickets: Arc<PullTickets>,
}

/// A publish that may start.
#[derive(Debug)]
pub struct StartedPublish {
    /// The right to append.
    pub token: FeedToken,
    /// Whether an earlier publish at this relay was replaced, whose last GOP may still be open.
    pub replaces_origin: bool,
    /// Whether the stream had ended or its pull was given up, so that what the log holds is stale.
    pub starts_over: bool,
}

/// What a stream looks like to whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody feeds it, and nobody has said why.
    Idle,
    /// Somebody feeds it, but viewers cannot start yet.
    Starting,
    /// Viewers can start.
    Flowing,
    /// The pull was given up.
    Refused,
    /// The stream has ended.
    Ended,
    /// The host keeps it out.
    KeptOut,
}

impl Feed {
    /// What the stream looks like to whoever waits for it.
    pub fn stage(&self) -> Stage {
        match self {
            Feed::Idle => Stage::Idle,
            Feed::Origin(OriginFeed { flows, .. }) | Feed::Pulling(PullFeed { flows, .. }) => {
                if *flows {
                    Stage::Flowing
                } else {
                    Stage::Starting
                }
            }
            Feed::Refused(_) => Stage::Refused,
            Feed::Ended(_) => Stage::Ended,
            Feed::KeptOut => Stage::KeptOut,
        }
    }

    /// The publish that this relay is the origin of.
    pub fn origin(&self) -> Option<Origin> {
        match self {
            Feed::Origin(feed) => Some(feed.origin),
            _ => None,
        }
    }

    /// The tickets by which the stream is pulled.
    pub fn tickets(&self) -> Option<&Arc<PullTickets>> {
        match self {
            Feed::Pulling(pull) => Some(&pull.tickets),
            _ => None,
        }
    }

    /// Whether media arrives, or may arrive again without a change of this state. Subscribers that
    /// hear "no" for one second leave.
    pub fn upstream_ok(&self) -> bool {
        match self {
            Feed::Origin(_) => true,
            Feed::Pulling(pull) => pull.upstream_ok,
            Feed::Idle | Feed::Refused(_) | Feed::Ended(_) | Feed::KeptOut => false,
        }
    }

    /// Why the last request for a ticket of the running pull failed.
    pub fn no_ticket(&self) -> Option<&Problem> {
        match self {
            Feed::Pulling(pull) => pull.no_ticket.as_ref(),
            _ => None,
        }
    }

    /// Why the stream is not carried, if a request for it was refused or it has ended.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Feed::Refused(problem) | Feed::Ended(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the host wants the stream carried even if nobody watches.
    pub fn is_kept(&self) -> bool {
        match self {
            Feed::Origin(OriginFeed { kept, .. }) | Feed::Pulling(PullFeed { kept, .. }) => *kept,
            _ => false,
        }
    }

    /// Starts to pull the stream, unless somebody feeds it already.
    ///
    /// # Errors
    /// `unavailable` if the host keeps the stream out.
    pub fn start_pull(&mut self, slug: &Slug) -> Result<Option<StartedPull>, Problem> {
        match self {
            Feed::KeptOut => Err(kept_out(slug)),
            Feed::Origin(_) | Feed::Pulling(_) => Ok(None),
            Feed::Idle | Feed::Refused(_) | Feed::Ended(_) => {
                Ok(Some(self.enter_pull(false, false)))
            }
        }
    }

    /// Makes this relay the origin of the stream, in place of whatever fed it. `has_ended` says
    /// whether the log has ended.
    ///
    /// # Errors
    /// As [`Feed::check_publish`].
    pub fn start_publish(
        &mut self,
        slug: &Slug,
        origin: Origin,
        has_ended: bool,
    ) -> Result<StartedPublish, Problem> {
        self.check_publish(slug)?;
        let is_over = has_ended || self.problem().is_some();
        let token = FeedToken::new();
        let next = Feed::Origin(OriginFeed {
            token: token.clone(),
            origin,
            flows: !is_over && self.stage() == Stage::Flowing,
            // A pull that follows this publish goes on as its host wanted.
            kept: self.is_kept(),
        });
        let before = std::mem::replace(self, next);
        before.revoke(FenceReason::TakenOver);
        Ok(StartedPublish {
            token,
            replaces_origin: matches!(before, Feed::Origin(_)),
            starts_over: is_over,
        })
    }

    /// Whether a publisher may start. A publisher that has been silent for a few seconds is
    /// replaced, because encoders that lost their connection return before the relay notices.
    ///
    /// # Errors
    /// `unavailable` if the host keeps the stream out, `conflict` while another publisher sends.
    pub fn check_publish(&self, slug: &Slug) -> Result<(), Problem> {
        match self {
            Feed::KeptOut => Err(kept_out(slug)),
            Feed::Origin(OriginFeed { origin, .. })
                if origin.has_publisher && origin.last_media.elapsed() < PUBLISHER_ALIVE =>
            {
                let detail = format!("stream {:?} has a publisher already", slug.as_str());
                Err(Problem::new(Code::Conflict, detail))
            }
            _ => Ok(()),
        }
    }

    /// Gives up the publish at this relay if its epoch is lower than `epoch`, and starts to pull
    /// instead, so that the viewers here are served on. The publisher is told `reason`.
    pub fn fence(
        &mut self,
        epoch: u64,
        reason: FenceReason,
        has_ended: bool,
    ) -> Option<StartedPull> {
        let Feed::Origin(feed) = self else {
            return None;
        };
        if feed.origin.epoch >= epoch {
            return None;
        }
        feed.token.revoke(reason);
        let flows = feed.flows && !has_ended;
        let kept = feed.kept;
        Some(self.enter_pull(flows, kept))
    }

    /// Changes the publish of `token`; false if it was replaced.
    pub fn update_origin(&mut self, token: &FeedToken, change: impl FnOnce(&mut Origin)) -> bool {
        match self {
            Feed::Origin(feed) if feed.token.is(token) => {
                change(&mut feed.origin);
                true
            }
            _ => false,
        }
    }

    /// The grace window of `epoch` is over. A publisher that has returned in the meantime has a
    /// higher epoch.
    pub fn end_publish(&mut self, epoch: u64, problem: Problem) {
        if let Feed::Origin(feed) = self
            && feed.origin.epoch == epoch
            && !feed.origin.has_publisher
        {
            feed.token.revoke(FenceReason::TakenOver);
            *self = Feed::Ended(problem);
        }
    }

    /// Notes for the feed of `token` that viewers can start.
    pub fn flow(&mut self, token: &FeedToken) {
        match self {
            Feed::Origin(feed) if feed.token.is(token) => feed.flows = true,
            Feed::Pulling(pull) if pull.token.is(token) => pull.flows = true,
            _ => {}
        }
    }

    /// Notes whether the pull of `token` has an upstream.
    pub fn set_upstream_ok(&mut self, token: &FeedToken, ok: bool) {
        if let Some(pull) = self.pull_of(token) {
            pull.upstream_ok = ok;
        }
    }

    /// Notes why the pull of `token` got no ticket; None once it has one.
    pub fn set_no_ticket(&mut self, token: &FeedToken, problem: Option<Problem>) {
        if let Some(pull) = self.pull_of(token) {
            pull.no_ticket = problem;
        }
    }

    /// Gives up the pull of `token`.
    pub fn refuse(&mut self, token: &FeedToken, problem: Problem) {
        if self.pull_of(token).is_some() {
            *self = Feed::Refused(problem);
        }
    }

    /// Ends the pull of `token`, because the stream has ended.
    pub fn end_pull(&mut self, token: &FeedToken, problem: Problem) {
        if self.pull_of(token).is_some() {
            *self = Feed::Ended(problem);
        }
    }

    /// Notes that the host wants the stream carried until it ends or is let go.
    pub fn keep(&mut self) {
        if let Feed::Origin(OriginFeed { kept, .. }) | Feed::Pulling(PullFeed { kept, .. }) = self {
            *kept = true;
        }
    }

    /// Stops a pull; false if there is none.
    pub fn stop_pull(&mut self) -> bool {
        let Feed::Pulling(pull) = self else {
            return false;
        };
        pull.token.revoke(FenceReason::TakenOver);
        *self = Feed::Idle;
        true
    }

    /// Stops a pull, if there is one, for the host of this relay.
    ///
    /// # Errors
    /// `conflict` at the origin: its publisher must stop instead.
    pub fn let_go(&mut self, slug: &Slug) -> Result<(), Problem> {
        if matches!(self, Feed::Origin(_)) {
            return Err(published_here(slug));
        }
        self.stop_pull();
        Ok(())
    }

    /// Keeps the stream out until [`Feed::take_back_in`].
    ///
    /// # Errors
    /// As [`Feed::let_go`].
    pub fn keep_out(&mut self, slug: &Slug) -> Result<(), Problem> {
        self.let_go(slug)?;
        *self = Feed::KeptOut;
        Ok(())
    }

    /// Ends what [`Feed::keep_out`] began.
    pub fn take_back_in(&mut self) {
        if matches!(self, Feed::KeptOut) {
            *self = Feed::Idle;
        }
    }

    fn enter_pull(&mut self, flows: bool, kept: bool) -> StartedPull {
        let started = StartedPull {
            token: FeedToken::new(),
            tickets: Arc::default(),
        };
        *self = Feed::Pulling(PullFeed {
            token: started.token.clone(),
            tickets: started.tickets.clone(),
            flows,
            upstream_ok: true,
            no_ticket: None,
            kept,
        });
        started
    }

    fn pull_of(&mut self, token: &FeedToken) -> Option<&mut PullFeed> {
        match self {
            Feed::Pulling(pull) if pull.token.is(token) => Some(pull),
            _ => None,
        }
    }

    fn revoke(&self, reason: FenceReason) {
        match self {
            Feed::Origin(feed) => feed.token.revoke(reason),
            Feed::Pulling(pull) => pull.token.revoke(reason),
            _ => {}
        }
    }
}

/// The answer to whoever asks for a stream that the host keeps out.
pub fn kept_out(slug: &Slug) -> Problem {
    let detail = format!("stream {slug} is paused on this node by its host");
    Problem::new(Code::Unavailable, detail)
}

fn published_here(slug: &Slug) -> Problem {
    let detail = format!("stream {slug} is published here: stop its publisher instead");
    Problem::new(Code::Conflict, detail)
}

#[cfg(test)]
mod tests;
