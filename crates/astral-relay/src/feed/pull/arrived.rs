//! What a link has brought and nobody has taken yet.

use super::link::{Parted, READ_BYTES};
use crate::failover_cause::FailoverCause;
use astral_media::frame::Parameters;
use astral_media::record::{self, Record, RecordError};
use astral_proto::limits::LINK_SILENCE;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Records that were looked at ahead, and the bytes after them.
#[derive(Default)]
pub struct Arrived {
    pub(super) bytes: BytesMut,
    ahead: VecDeque<Record>,
    ahead_bytes: usize,
    parameters: Option<Arc<Parameters>>,
}

impl Arrived {
    /// Takes the next whole record; none until more has come.
    ///
    /// # Errors
    /// [`RecordError`] for anything no relay of ours would send.
    pub fn next(&mut self) -> Result<Option<Record>, RecordError> {
        match self.ahead.pop_front() {
            Some(record) => Ok(Some(record)),
            None => record::read(&mut self.bytes, &mut self.parameters),
        }
    }

    /// Shows every whole record not shown before to `see`, and leaves all to be taken.
    ///
    /// # Errors
    /// [`RecordError`] for anything no relay of ours would send.
    pub fn look_ahead(&mut self, mut see: impl FnMut(&Record)) -> Result<(), RecordError> {
        let bytes = self.bytes.len();
        while let Some(record) = record::read(&mut self.bytes, &mut self.parameters)? {
            see(&record);
            self.ahead.push_back(record);
        }
        self.ahead_bytes += bytes - self.bytes.len();
        Ok(())
    }

    /// How much has been looked at ahead, in bytes.
    pub fn ahead_bytes(&self) -> usize {
        self.ahead_bytes
    }

    /// Waits for more from `socket`, for as long as a link may be silent.
    ///
    /// # Errors
    /// How the link has failed.
    pub async fn more(&mut self, socket: &mut (impl AsyncRead + Unpin)) -> Result<(), Parted> {
        self.bytes.reserve(READ_BYTES);
        match timeout(LINK_SILENCE, socket.read_buf(&mut self.bytes)).await {
            Err(_) => Err(Parted::Failed(FailoverCause::Silent)),
            Ok(Err(_)) | Ok(Ok(0)) => Err(Parted::Failed(FailoverCause::Closed)),
            Ok(Ok(_)) => Ok(()),
        }
    }
}
