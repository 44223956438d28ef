//! Why an RTMP connection ended early, and what its peer is told.

use super::purpose::Purpose;
use crate::http::HttpError;
use astral_media::publish::PublishError;
use astral_media::rtmp::SessionError;
use astral_proto::{Code, Problem};
use std::time::Duration;

/// Why an RTMP connection ended early.
#[derive(Debug, thiserror::Error)]
pub enum RtmpError {
    /// The peer violates the protocol.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What is published cannot be played.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The socket failed, or the peer is too slow.
    #[error(transparent)]
    Socket(#[from] HttpError),
    /// A publisher has sent nothing for this long.
    #[error("the encoder has sent nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// The peer was refused.
    #[error("refused: {0}")]
    Refused(Problem),
}

impl RtmpError {
    /// A short name for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            RtmpError::Session(error) => error.reason(),
            RtmpError::Publish(error) => error.reason(),
            RtmpError::Socket(error) => error.reason(),
            RtmpError::Silent(_) => "slow",
            RtmpError::Refused(problem) => problem.code.as_str(),
        }
    }

    /// Whether the peer simply disconnected.
    pub fn is_departure(&self) -> bool {
        matches!(self, RtmpError::Socket(error) if error.is_departure())
    }

    /// What an encoder or player shows to its user. Contains no secrets.
    pub fn description(&self) -> String {
        match self {
            RtmpError::Refused(problem) => problem.detail.clone(),
            other => other.to_string(),
        }
    }

    /// The status code for a peer that wants `purpose`, as Flash Media Server named it.
    pub fn status_code(&self, purpose: Option<Purpose>) -> &'static str {
        match (self, purpose) {
            (RtmpError::Session(SessionError::StreamName("play")), _) => {
                "NetStream.Play.StreamNotFound"
            }
            (
                RtmpError::Session(
                    SessionError::StreamName(_) | SessionError::AddressLength { .. },
                ),
                _,
            ) => "NetStream.Publish.BadName",
            (_, None) => "NetStream.Failed",
            (RtmpError::Refused(problem), Some(Purpose::Play)) => match problem.code {
                Code::Full => "NetStream.Play.InsufficientBW",
                Code::ControlPlaneAway | Code::Unavailable => "NetStream.Play.Failed",
                _ => "NetStream.Play.StreamNotFound",
            },
            (_, Some(Purpose::Play)) => "NetStream.Play.StreamNotFound",
            (RtmpError::Refused(problem), Some(Purpose::Publish)) => match problem.code {
                Code::Conflict | Code::BadRequest => "NetStream.Publish.BadName",
                Code::Unauthenticated | Code::Forbidden => "NetStream.Publish.Unauthorized",
                _ => "NetStream.Publish.Failed",
            },
            (_, Some(Purpose::Publish)) => "NetStream.Publish.Failed",
        }
    }
}

impl From<std::io::Error> for RtmpError {
    fn from(error: std::io::Error) -> Self {
        RtmpError::Socket(error.into())
    }
}
