//! The peer of an RTMP connection: its socket, its session, and how it is told that it is refused.

use super::error::RtmpError;
use super::purpose::Purpose;
use crate::http::{HttpError, WRITE_WAIT};
use astral_media::rtmp::{Event, ServerSession};
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// A publisher that is silent for this long is disconnected. Another publisher may take its stream
/// over much earlier.
const PUBLISHER_WAIT: Duration = Duration::from_secs(30);
/// Most bytes that are read from a peer at once.
const READ_BYTES: usize = 64 << 10;
/// A refused peer has this long to read why.
const LINGER_WAIT: Duration = Duration::from_secs(5);
/// Most bytes that are read from a refused peer and thrown away: the rest of the longest message
/// that it may be sending.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// One connected peer.
pub struct Peer<S> {
    pub socket: S,
    pub session: ServerSession,
    pub buffer: BytesMut,
    /// What it wants; None until it has said so.
    pub purpose: Option<Purpose>,
    /// The name of the stream that it asked for last, as it may be shown; empty before.
    pub stream: String,
    /// The epoch of its publish; 0 until it is accepted.
    pub epoch: u64,
    /// Whether no status can be sent any more: media is being written, or a status has been sent.
    pub has_no_status: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Peer<S> {
    /// A peer that has just connected.
    pub fn new(socket: S) -> Self {
        Self {
            socket,
            session: ServerSession::new(),
            buffer: BytesMut::new(),
            purpose: None,
            stream: String::new(),
            epoch: 0,
            has_no_status: false,
        }
    }

    /// The next event; None when the peer has closed.
    pub async fn next_event(&mut self) -> Result<Option<Event>, RtmpError> {
        loop {
            let event = self.session.receive(&mut self.buffer)?;
            self.flush().await?;
            if event.is_some() || !self.fill().await? {
                return Ok(event);
            }
        }
    }

    async fn fill(&mut self) -> Result<bool, RtmpError> {
        self.buffer.reserve(READ_BYTES);
        Ok(self.socket.read_buf(&mut self.buffer).await? > 0)
    }

    /// Sends the output of the session.
    pub async fn flush(&mut self) -> Result<(), RtmpError> {
        let output = self.session.take_output();
        if !output.is_empty() {
            let wrote = timeout(WRITE_WAIT, self.socket.write_all(&output)).await;
            wrote.map_err(|_| HttpError::Slow(WRITE_WAIT))??;
        }
        Ok(())
    }

    /// Appends every event that has arrived to `events`, up to the end of a publish. Reads once if
    /// there is none. False when the peer has closed.
    pub async fn next_events(&mut self, events: &mut Vec<Event>) -> Result<bool, RtmpError> {
        // What follows an unpublish may be the next publish, which is answered by itself.
        while events.last() != Some(&Event::Unpublish)
            && let Some(event) = self.session.receive(&mut self.buffer)?
        {
            events.push(event);
        }
        self.flush().await?;
        if !events.is_empty() {
            return Ok(true);
        }
        let filled = timeout(PUBLISHER_WAIT, self.fill()).await;
        filled.map_err(|_| RtmpError::Silent(PUBLISHER_WAIT))?
    }

    /// Tells the peer why it is refused, at most once.
    pub async fn refuse(&mut self, error: &RtmpError) {
        if self.has_no_status || error.is_departure() {
            return;
        }
        self.has_no_status = true;
        self.session
            .refuse(error.status_code(self.purpose), &error.description());
        let output = self.session.take_output();
        drop(timeout(LINGER_WAIT, self.socket.write_all(&output)).await);
    }

    /// Closes a refused connection, and reads on for a while what the peer still sends. If input
    /// were unread at the close, the kernel would reset the connection, and the peer would lose the
    /// status that it has not read yet.
    pub async fn close_after_linger(&mut self) {
        drop(self.socket.shutdown().await);
        let reading = async {
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                self.buffer.clear();
                match self.fill().await {
                    Ok(true) => left = left.saturating_sub(self.buffer.len()),
                    Ok(false) | Err(_) => break,
                }
            }
        };
        drop(timeout(LINGER_WAIT, reading).await);
    }
}
