//! One request: to any replica of its service, and to another one where that is silent.
//!
//! A replica that is at work says so again and again. One that says nothing has frozen, is cut off, or never got the
//! request: a roll call tells which replicas answer, and the request goes to one of them. It may so be handled twice.

use super::replica::{Asked, Replica, own_subject, service_and_verb};
use super::roster::{Next, Target};
use super::wire::{Answer, Expected, Heard, NotAnswered};
use super::{Shared, roll_call};
use crate::observe;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

/// A replica that says nothing for this long is silent, or for a quarter of the time that the caller has if that is less.
const SILENCE_MAX: Duration = Duration::from_millis(300);
/// No replica is taken for silent before this.
const SILENCE_MIN: Duration = Duration::from_millis(50);
/// How often one request is sent.
const ATTEMPTS_MAX: u32 = 4;

/// For how long a replica may say nothing about a request whose caller waits `within`.
fn silence(within: Duration) -> Duration {
    (within / 4).clamp(SILENCE_MIN, SILENCE_MAX)
}

/// How often a replica that is at work on a request says so.
pub(super) fn sign_every(asked: &Asked) -> Duration {
    silence(asked.within) / 2
}

/// One request that is being asked.
pub(super) struct Asking<'a> {
    bus: &'a Arc<Shared>,
    subject: &'a str,
    payload: Bytes,
    request: Uuid,
    attempt: u32,
    deadline: Instant,
    expected: Expected,
    /// Where it was last sent, or who has said to be at work on it.
    target: Target,
    sent_at: Instant,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        bus: &'a Arc<Shared>,
        subject: &'a str,
        payload: Bytes,
        within: Duration,
    ) -> Self {
        let now = Instant::now();
        let expected = bus.transport.expect();
        let request = Uuid::from_u128(rand::random());
        let deadline = now + within;
        let target = Target::Any;
        Self {
            bus,
            subject,
            payload,
            request,
            attempt: 0,
            deadline,
            expected,
            target,
            sent_at: now,
        }
    }

    /// Asks whoever listens to the subject, once.
    pub(super) async fn once(mut self) -> Result<Answer, NotAnswered> {
        let deadline = self.deadline;
        let asking = async {
            self.send(Target::Any, None).await?;
            match self.said().await? {
                Said::Answer(answer) => Ok(answer),
                Said::Nobody => Err(NotAnswered::NoResponders),
            }
        };
        timeout_at(deadline, asking)
            .await
            .map_err(|_| NotAnswered::TimedOut)?
    }

    /// Asks the replicas of the service that the subject names, until one answers.
    pub(super) async fn any_replica(mut self) -> Result<Answer, NotAnswered> {
        let Some((service, _)) = service_and_verb(self.subject) else {
            return self.once().await;
        };
        let deadline = self.deadline;
        timeout_at(deadline, self.each_in_turn(service))
            .await
            .map_err(|_| NotAnswered::TimedOut)?
    }

    async fn each_in_turn(&mut self, service: &str) -> Result<Answer, NotAnswered> {
        let mut patience = silence(self.deadline.saturating_duration_since(Instant::now()));
        self.send(self.bus.roster.target(service), Some(service))
            .await?;
        loop {
            match timeout(patience, self.said()).await {
                Ok(said) => match said? {
                    Said::Answer(answer) => return Ok(answer),
                    Said::Nobody => self.nobody_is_there(service).await?,
                },
                Err(_) if self.is_at_work(patience) => {}
                Err(_) => {
                    if let Some(answer) = self.is_met_with_silence(service).await? {
                        return Ok(answer);
                    }
                    patience *= 2;
                }
            }
        }
    }

    /// Whether somebody has said within `patience` to be at work on it.
    fn is_at_work(&self, patience: Duration) -> bool {
        self.sent_at.elapsed() < patience
    }

    /// Nobody listens where it was sent: a replica has gone, and others may be there; or there are none at all.
    async fn nobody_is_there(&mut self, service: &str) -> Result<(), NotAnswered> {
        let Target::One(gone) = self.target else {
            return Err(NotAnswered::NoResponders);
        };
        self.bus.roster.forget(service, gone);
        self.attempt -= 1;
        self.send(self.bus.roster.target(service), Some(service))
            .await
    }

    /// Finds out who answers, and asks one of them, unless an answer comes meanwhile.
    async fn is_met_with_silence(&mut self, service: &str) -> Result<Option<Answer>, NotAnswered> {
        let bus = self.bus;
        tokio::select! {
            biased;
            said = self.said() => return match said? {
                Said::Answer(answer) => Ok(Some(answer)),
                Said::Nobody => self.nobody_is_there(service).await.map(|()| None),
            },
            () = roll_call::hold(bus, service) => {}
        }
        if self.attempt < ATTEMPTS_MAX
            && let Next::Ask(replica) = self.bus.roster.next(service, self.sent_at, self.target)
        {
            observe::request_repeated();
            self.send(Target::One(replica), Some(service)).await?;
        }
        Ok(None)
    }

    /// Sends it; to one replica of `service` if there is to be one.
    async fn send(&mut self, target: Target, service: Option<&str>) -> Result<(), NotAnswered> {
        let verb = service_and_verb(self.subject).map_or("", |(_, verb)| verb);
        let own = match (target, service) {
            (Target::One(replica), Some(service)) => Some(own_subject(service, replica, verb)),
            _ => None,
        };
        self.attempt += 1;
        self.target = target;
        self.sent_at = Instant::now();
        let within = self.deadline.saturating_duration_since(self.sent_at);
        let asked = Asked {
            request: self.request,
            attempt: self.attempt,
            within,
        };
        let subject = own.as_deref().unwrap_or(self.subject);
        let sending =
            self.bus
                .transport
                .request(subject, self.payload.clone(), Some(asked), &self.expected);
        sending.await.map_err(NotAnswered::Away)
    }

    /// The answer, or that there is nobody to give one; takes in who is at work.
    async fn said(&mut self) -> Result<Said, NotAnswered> {
        loop {
            match self.expected.next().await {
                Some(Heard::Answer(replica, answer)) => {
                    replica.iter().for_each(|replica| self.take_in(replica));
                    return Ok(Said::Answer(answer));
                }
                Some(Heard::Working(replica)) => {
                    self.take_in(&replica);
                    self.target = Target::One(replica.id);
                    self.sent_at = Instant::now();
                }
                Some(Heard::Nobody) => return Ok(Said::Nobody),
                None => {
                    return Err(NotAnswered::Away(
                        "the connection broke before the answer".into(),
                    ));
                }
            }
        }
    }

    fn take_in(&self, replica: &Replica) {
        if let Some((service, _)) = service_and_verb(self.subject) {
            self.bus.roster.heard(service, replica, Instant::now());
        }
    }
}

/// What is said on a request in the end.
enum Said {
    Answer(Answer),
    Nobody,
}
