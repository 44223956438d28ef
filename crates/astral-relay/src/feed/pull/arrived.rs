//! What a link has brought and nobody has taken yet.

use super::link_end::LinkEnd;
use crate::failover_cause::FailoverCause;
use astral_media::frame::Parameters;
use astral_media::record::{self, Record, RecordError};
use astral_proto::limits::LINK_SILENCE;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// What is read from a link at once, in bytes.
const READ_BYTES: usize = 64 << 10;

/// Records that were looked at in advance, and the bytes after them.
#[derive(Default)]
pub struct Arrived {
    /// Bytes that were received and not yet read as records.
    pub bytes: BytesMut,
    ahead: VecDeque<Record>,
    ahead_bytes: usize,
    parameters: Option<Arc<Parameters>>,
}

impl Arrived {
    /// Takes the next whole record; None until more bytes arrive.
    ///
    /// # Errors
    /// [`RecordError`] for bytes that are no record.
    pub fn next(&mut self) -> Result<Option<Record>, RecordError> {
        match self.ahead.pop_front() {
            Some(record) => Ok(Some(record)),
            None => record::read(&mut self.bytes, &mut self.parameters),
        }
    }

    /// Calls `see` with each whole record that it was not called with before. All of them stay to
    /// be taken.
    ///
    /// # Errors
    /// [`RecordError`] for bytes that are no record.
    pub fn look_ahead(&mut self, mut see: impl FnMut(&Record)) -> Result<(), RecordError> {
        let bytes = self.bytes.len();
        while let Some(record) = record::read(&mut self.bytes, &mut self.parameters)? {
            see(&record);
            self.ahead.push_back(record);
        }
        self.ahead_bytes += bytes - self.bytes.len();
        Ok(())
    }

    /// The size of all records that were looked at in advance, in bytes.
    pub fn ahead_bytes(&self) -> usize {
        self.ahead_bytes
    }

    /// Waits for more bytes from `socket`, for as long as a link may be silent.
    ///
    /// # Errors
    /// `Failed` if the link is silent for longer, or closes.
    pub async fn more(&mut self, socket: &mut (impl AsyncRead + Unpin)) -> Result<(), LinkEnd> {
        self.bytes.reserve(READ_BYTES);
        match timeout(LINK_SILENCE, socket.read_buf(&mut self.bytes)).await {
            Err(_) => Err(LinkEnd::Failed(FailoverCause::Silent)),
            Ok(Err(_)) | Ok(Ok(0)) => Err(LinkEnd::Failed(FailoverCause::Closed)),
            Ok(Ok(_)) => Ok(()),
        }
    }
}
