//! What the coordinator refuses, and why.

use astral_proto::{Code, NodeId, Problem};

/// Why a request to the coordinator failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A required address of a node is empty or too long.
    #[error("{field} of {bytes} bytes must have 1 to {max}")]
    AddressLength {
        /// The field of the registration.
        field: &'static str,
        /// How long it is.
        bytes: usize,
        /// The longest that is accepted.
        max: usize,
    },
    /// The name of a node is too long.
    #[error("name of {bytes} bytes is over the limit of {max}")]
    NameTooLong {
        /// How long it is.
        bytes: usize,
        /// The longest that is accepted.
        max: usize,
    },
    /// A node reports more round-trip times than a heartbeat should contain.
    #[error("{count} round trips are over the limit of {max}")]
    TooManyRoundTrips {
        /// How many it reports.
        count: usize,
        /// The largest number that is accepted.
        max: usize,
    },
    /// The size of a page is out of range.
    #[error("limit {limit} must be 1 to {max}")]
    PageLimit {
        /// The size that was asked for.
        limit: u32,
        /// The largest page.
        max: u32,
    },
    /// No node has this id.
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    /// Another node, which is alive, has the address.
    #[error("{address} is the address of another node that is alive")]
    AddressTaken {
        /// The address that both nodes claim.
        address: String,
    },
    /// Another node, which is alive, has the id.
    #[error(
        "node {node} is alive at {first}, and the node at {second} uses the same id: give one of them another --uuid, \
         or stop it"
    )]
    DuplicateNode {
        /// The id that both nodes use.
        node: NodeId,
        /// The address of the node that is registered.
        first: String,
        /// The address of the node that was refused.
        second: String,
    },
    /// The bus, the state, or another service failed.
    #[error(transparent)]
    Backend(#[from] Problem),
}

impl Error {
    /// The class of the error.
    pub fn code(&self) -> Code {
        match self {
            Self::AddressLength { .. }
            | Self::NameTooLong { .. }
            | Self::TooManyRoundTrips { .. }
            | Self::PageLimit { .. } => Code::BadRequest,
            Self::UnknownNode(_) => Code::NotFound,
            Self::AddressTaken { .. } | Self::DuplicateNode { .. } => Code::Conflict,
            Self::Backend(problem) => problem.code,
        }
    }
}
