//! What every transport carries: JSON payloads, and answers that are a reply or a problem.

use super::replica::{Asked, Replica};
use super::{local, nats};
use crate::observe::TraceContext;
use astral_proto::limits::MESSAGE_BYTES_MAX;
use astral_proto::message::event::Stamp;
use astral_proto::{Code, Problem};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;
use tokio::time::Instant;

/// One message as it arrives.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) subject: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) reply_to: Option<ReplyTo>,
    /// Of whoever sent it.
    pub(super) trace: TraceContext,
    /// Of an event.
    pub(super) stamp: Option<Stamp>,
    /// Of a request.
    pub(super) asked: Option<Asked>,
    /// When it came to this process.
    pub(super) arrived: Instant,
}

/// Where the answer to a request goes.
#[derive(Clone)]
pub(super) enum ReplyTo {
    Local(local::ReplyTo),
    Nats(nats::ReplyTo),
}

impl ReplyTo {
    /// What carries it, by the name that traces know it under.
    pub(super) fn system(&self) -> &'static str {
        match self {
            ReplyTo::Local(_) => "local",
            ReplyTo::Nats(_) => "nats",
        }
    }

    /// Sends the answer of `replica`; it is lost if nobody waits for it any more.
    pub(super) async fn send(self, replica: Option<&Replica>, answer: Answer) {
        match self {
            ReplyTo::Local(reply_to) => reply_to.send(Heard::Answer(replica.cloned(), answer)),
            ReplyTo::Nats(reply_to) => reply_to.send(replica, answer).await,
        }
    }

    /// Says that `replica` is at work on the answer.
    pub(super) async fn tell_working(&self, replica: &Replica) {
        match self {
            ReplyTo::Local(reply_to) => reply_to.send(Heard::Working(replica.clone())),
            ReplyTo::Nats(reply_to) => reply_to.tell_working(replica).await,
        }
    }
}

/// What comes back to whoever asks.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// A replica is at work on the answer.
    Working(Replica),
    /// The answer, and whose it is where replicas name themselves.
    Answer(Option<Replica>, Answer),
    /// Nobody listens where it was sent.
    Nobody,
}

/// What a replica says when it is asked whether it answers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Present {
    /// Whether requests wait for others to be handled.
    #[serde(default)]
    pub(super) is_busy: bool,
}

impl Present {
    /// The question.
    pub(super) fn question() -> Bytes {
        Bytes::from_static(b"{}")
    }
}

/// All that comes back on one request, however often it is sent.
pub(super) enum Expected {
    Local(local::Expected),
    Nats(nats::Expected),
}

impl Expected {
    /// What comes next; none once the bus is lost.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        match self {
            Expected::Local(expected) => expected.next().await,
            Expected::Nats(expected) => expected.next().await,
        }
    }
}

/// The bounded queue of one subscriber.
pub(super) enum Inbox {
    Local(local::Inbox),
    Nats(nats::Inbox),
}

impl Inbox {
    pub(super) async fn next(&mut self) -> Option<Message> {
        match self {
            Inbox::Local(inbox) => inbox.next().await,
            Inbox::Nats(inbox) => inbox.next().await,
        }
    }

    pub(super) fn lost(&self) -> u64 {
        match self {
            Inbox::Local(inbox) => inbox.lost(),
            Inbox::Nats(inbox) => inbox.lost(),
        }
    }

    /// Unsubscribes; what is queued can still be taken, then `next` ends.
    pub(super) fn leave(&mut self) {
        match self {
            Inbox::Local(inbox) => inbox.leave(),
            Inbox::Nats(inbox) => inbox.leave(),
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotAnswered {
    NoResponders,
    TimedOut,
    /// There is no bus, and why that is known.
    Away(String),
}

/// An answer: a reply, or a problem of class `code`.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    code: Option<Code>,
    payload: Bytes,
}

impl Answer {
    pub(super) fn new<T: Serialize>(subject: &str, result: Result<T, Problem>) -> Self {
        let encoded = result.and_then(|reply| {
            encode(subject, &reply).map_err(|problem| {
                Problem::new(Code::Internal, format!("reply: {}", problem.detail))
            })
        });
        match encoded {
            Ok(payload) => Self {
                code: None,
                payload,
            },
            Err(problem) => Self {
                code: Some(problem.code),
                payload: problem_payload(&problem),
            },
        }
    }

    /// As it came over a network, with the code that stood beside it.
    pub(super) fn received(code: Option<&str>, payload: Bytes) -> Self {
        let known = |code: &str| serde_json::from_value(code.into()).unwrap_or(Code::Internal);
        Self {
            code: code.map(known),
            payload,
        }
    }

    /// The JSON of the reply, or of the problem.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// As it goes over a network.
    pub(super) fn into_parts(self) -> (Option<Code>, Bytes) {
        (self.code, self.payload)
    }

    pub(super) fn decode<T: DeserializeOwned>(&self, subject: &str) -> Result<T, Problem> {
        let unreadable = |error: serde_json::Error| {
            Problem::new(
                Code::Internal,
                format!("the answer to {subject} cannot be read: {error}"),
            )
        };
        if self.code.is_some() {
            return Err(serde_json::from_slice(&self.payload).unwrap_or_else(unreadable));
        }
        serde_json::from_slice(&self.payload).map_err(unreadable)
    }
}

/// Longest detail of a problem that travels, in bytes: a hostile value quoted in it costs no more.
const DETAIL_BYTES_MAX: usize = 4096;

fn problem_payload(problem: &Problem) -> Bytes {
    let mut problem = problem.clone();
    problem
        .detail
        .truncate(problem.detail.floor_char_boundary(DETAIL_BYTES_MAX));
    serde_json::to_vec(&problem)
        .expect("a problem is plain data")
        .into()
}

/// `value` as JSON, if it fits on the bus.
pub(super) fn encode<T: Serialize>(subject: &str, value: &T) -> Result<Bytes, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("{subject} cannot be written as JSON: {error}"),
        )
    })?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        let detail = format!(
            "{} bytes to {subject} are over the limit of {MESSAGE_BYTES_MAX}",
            bytes.len()
        );
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_up_to_the_limit_pass_and_larger_ones_do_not() {
        // Two bytes are the quotes.
        assert!(encode("a", &"x".repeat(MESSAGE_BYTES_MAX - 2)).is_ok());
        let problem = encode("a", &"x".repeat(MESSAGE_BYTES_MAX - 1)).unwrap_err();
        assert_eq!(problem.code, Code::BadRequest);
        assert_eq!(
            problem.detail,
            "1048577 bytes to a are over the limit of 1048576"
        );
    }

    #[test]
    fn a_reply_that_is_too_large_arrives_as_internal() {
        let answer = Answer::new("a", Ok("x".repeat(MESSAGE_BYTES_MAX)));
        assert_eq!(
            answer.decode::<String>("a").unwrap_err().code,
            Code::Internal
        );
    }

    #[test]
    fn the_detail_of_a_problem_is_cut_at_a_character() {
        let problem = Problem::new(Code::Full, format!("x{}", "é".repeat(DETAIL_BYTES_MAX)));
        let read = Answer::new::<()>("a", Err(problem))
            .decode::<()>("a")
            .unwrap_err();
        assert_eq!(
            (read.code, read.detail.len()),
            (Code::Full, DETAIL_BYTES_MAX - 1)
        );
    }
}
