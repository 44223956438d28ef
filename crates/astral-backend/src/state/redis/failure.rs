//! What an error of Redis means for the connection, and for what the state says.

use crate::fault::{Cause, bounded};
use ::redis::{ErrorKind, RedisError, ServerErrorKind};

/// An error of Redis, by what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection is no good. A new one may be.
    Connection(Cause),
    /// The connection is good, and the server does not do what was asked.
    Refusal(Cause),
    /// It was asked for something wrong.
    Internal(String),
}

impl Failure {
    /// What an error means on a connection that was good before.
    pub(super) fn of(error: &RedisError) -> Self {
        let detail = || bounded(error.detail().unwrap_or_default());
        if let Some(failure) = error.code().and_then(|code| Self::of_code(code, detail)) {
            return failure;
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Connection(Cause::Credentials),
            ErrorKind::Parse => Self::Connection(Cause::OtherProtocol),
            ErrorKind::MasterNameNotFoundBySentinel => Self::Connection(Cause::NoSuchMaster),
            ErrorKind::UnexpectedReturnType
            | ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot) => {
                Self::Internal(bounded(&error.to_string()))
            }
            _ => Self::Connection(Cause::of_connection(&error.to_string())),
        }
    }

    /// What an error means while a connection is set up: whoever cannot be set up is not there, whatever the reason.
    pub(super) fn of_setup(error: &RedisError) -> Cause {
        match Self::of(error) {
            Self::Connection(cause) | Self::Refusal(cause) => cause,
            Self::Internal(text) if text.contains("switch database") => {
                Cause::NoSuchDatabase(bounded(error.detail().unwrap_or("no such number")))
            }
            Self::Internal(text) => Cause::Other(text),
        }
    }

    /// By the first word of the answer.
    fn of_code(code: &str, detail: impl Fn() -> String) -> Option<Self> {
        Some(match code {
            "OOM" => Self::Refusal(Cause::Full(detail())),
            "READONLY" => Self::Refusal(Cause::ReadOnly),
            "MISCONF" => Self::Refusal(Cause::CannotSave),
            "NOREPLICAS" => Self::Refusal(Cause::TooFewReplicas),
            "NOPERM" => Self::Refusal(Cause::NotPermitted(detail())),
            "LOADING" => Self::Refusal(Cause::Loading),
            "MASTERDOWN" => Self::Refusal(Cause::MasterAway),
            "BUSY" => Self::Refusal(Cause::Busy),
            "CLUSTERDOWN" | "TRYAGAIN" => Self::Refusal(Cause::ClusterDown(detail())),
            "MOVED" | "ASK" => Self::Refusal(Cause::IsCluster),
            "NOAUTH" => Self::Connection(Cause::NoCredentials),
            "WRONGPASS" => Self::Connection(Cause::Credentials),
            "ERR" if detail().contains("max number of clients") => {
                Self::Connection(Cause::TooManyConnections)
            }
            _ => return None,
        })
    }
}

impl Cause {
    /// Whether it means that nothing is written while everything can be read. Then leases end that nobody can renew, so
    /// what is read says less than is true.
    pub(super) fn refuses_writes(&self) -> bool {
        matches!(
            self,
            Self::Full(_)
                | Self::ReadOnly
                | Self::CannotSave
                | Self::TooFewReplicas
                | Self::NotPermitted(_)
        )
    }

    /// Whether another connection may lead to a server that does what was asked.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        matches!(self, Self::ReadOnly | Self::MasterAway)
    }
}
