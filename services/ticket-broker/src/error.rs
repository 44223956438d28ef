//! Why the broker refuses a request or fails.

use astral_proto::{Code, Kbps, NodeId, Problem, Slug, TicketId};
use std::path::PathBuf;

/// Every error of the broker. [`Error::code`] maps each to the code that its caller receives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A request lists more of something than the broker accepts.
    #[error("{given} {what} are over the limit of {max}")]
    TooMany {
        /// What the request lists, in the plural.
        what: &'static str,
        /// How many the request lists.
        given: usize,
        /// How many the broker accepts.
        max: usize,
    },
    /// The page size of a list is out of bounds.
    #[error("limit {limit} must be 1 to {max}")]
    PageSize {
        /// The size that was asked for.
        limit: u32,
        /// The largest size.
        max: u32,
    },
    /// A switch names a ticket and a stream that do not belong together.
    #[error("ticket {id} is for stream {:?}", .slug.as_str())]
    OtherStream {
        /// The ticket.
        id: TicketId,
        /// The stream that the ticket is for.
        slug: Slug,
    },
    /// The ticket never existed, or it has ended.
    #[error("there is no ticket {0}, or it has ended")]
    NoTicket(TicketId),
    /// A node asks for something that only the subscriber of a ticket may do.
    #[error("ticket {id} does not belong to node {node}")]
    NotSubscriber {
        /// The ticket.
        id: TicketId,
        /// Who asked.
        node: NodeId,
    },
    /// A standby would take its provider too far over its limit.
    #[error("{used_kbps} would exceed the limit of {limit_kbps} by more than a quarter")]
    FarOverLimit {
        /// What the provider would have promised, viewers included.
        used_kbps: Kbps,
        /// Its limit.
        limit_kbps: Kbps,
    },
    /// The stream is over.
    #[error("stream {:?} has ended", .0.as_str())]
    StreamEnded(Slug),
    /// Nobody publishes the stream now.
    #[error("stream {:?} is not live", .0.as_str())]
    NotLive(Slug),
    /// No relay that carries the stream may serve the subscriber.
    #[error("no relay can provide stream {:?} now: {why}", .slug.as_str())]
    NoProvider {
        /// The stream.
        slug: Slug,
        /// What spoke against each candidate.
        why: String,
    },
    /// Every relay that may serve the subscriber is full.
    #[error("no relay can provide stream {:?} now: {why}", .slug.as_str())]
    ProvidersFull {
        /// The stream.
        slug: Slug,
        /// What spoke against each candidate.
        why: String,
    },
    /// A supernode should fetch a stream, but no heartbeat of that supernode is known.
    #[error("supernode {0} is unknown")]
    UnknownSupernode(NodeId),
    /// Too many requests wait for a supernode to fetch a stream.
    #[error("too many requests wait for supernodes")]
    TooManyFetches,
    /// A supernode fetched another stream than it was asked for.
    #[error("the supernode fetched stream {:?} instead", .0.as_str())]
    FetchedOther(Slug),
    /// Other brokers changed a ledger before each attempt to write it.
    #[error("other brokers changed the ledger of {provider} {attempts} times in a row")]
    LedgerContended {
        /// Whose ledger it is.
        provider: NodeId,
        /// How often this broker tried.
        attempts: u32,
    },
    /// The task that was writing a ledger was cancelled.
    #[error("a change to the ledger of {0} was interrupted")]
    LedgerInterrupted(NodeId),
    /// The key file cannot be used.
    #[error("key file {}: {reason}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The ticket key in the shared state cannot be read.
    #[error("the shared ticket key is malformed")]
    SharedKeyMalformed,
    /// The bus, the state, the directory or a node failed or refused. Its own code is passed on.
    #[error(transparent)]
    Outside(#[from] Problem),
}

impl Error {
    /// The code that the caller receives.
    pub fn code(&self) -> Code {
        match self {
            Self::TooMany { .. }
            | Self::PageSize { .. }
            | Self::OtherStream { .. }
            | Self::KeyFile { .. } => Code::BadRequest,
            Self::NoTicket(_) => Code::NotFound,
            Self::NotSubscriber { .. } => Code::Forbidden,
            Self::FarOverLimit { .. } | Self::ProvidersFull { .. } => Code::Full,
            Self::StreamEnded(_) => Code::Gone,
            Self::NotLive(_) => Code::NotBegun,
            Self::NoProvider { .. }
            | Self::UnknownSupernode(_)
            | Self::LedgerContended { .. }
            | Self::LedgerInterrupted(_) => Code::Unavailable,
            Self::TooManyFetches => Code::TooManyRequests,
            Self::FetchedOther(_) | Self::SharedKeyMalformed => Code::Internal,
            Self::Outside(problem) => problem.code,
        }
    }
}
