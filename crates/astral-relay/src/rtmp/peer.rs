//! The peer of an RTMP connection: its socket, its session, and how it hears that it is refused.

use super::error::RtmpError;
use crate::http::{HttpError, WRITE_WAIT};
use astral_media::rtmp::{Event, ServerSession};
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// A publisher silent for this long is closed; its stream is taken over by the next one long before.
const PUBLISHER_WAIT: Duration = Duration::from_secs(30);
/// What is read from a peer at once, in bytes.
const READ_BYTES: usize = 64 << 10;
/// A refused peer has this long to finish what it is sending and to read why.
const FAREWELL_WAIT: Duration = Duration::from_secs(5);
/// Most bytes that are read from a refused peer and thrown away: the rest of the longest message that it may be sending.
const FAREWELL_BYTES_MAX: usize = 16 << 20;

/// What a peer wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Send a stream in.
    Publish,
    /// Watch one.
    Play,
}

/// One connected peer.
pub struct Peer<S> {
    pub socket: S,
    pub session: ServerSession,
    pub buffer: BytesMut,
    /// What it wants to do, as far as it has said.
    pub purpose: Option<Purpose>,
    /// The stream it has asked for last, as far as that may be shown; empty before.
    pub stream: String,
    /// Its publish, once it was accepted; 0 before.
    pub epoch: u64,
    /// Whether its connection is in the middle of media, where no status has a place, or it has been told already.
    pub is_past_telling: bool,
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
            is_past_telling: false,
        }
    }

    /// The next event; none when the peer is done.
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

    /// Sends what the session has to say.
    pub async fn flush(&mut self) -> Result<(), RtmpError> {
        let output = self.session.take_output();
        if !output.is_empty() {
            let wrote = timeout(WRITE_WAIT, self.socket.write_all(&output)).await;
            wrote.map_err(|_| HttpError::Slow(WRITE_WAIT))??;
        }
        Ok(())
    }

    /// Every event of the publish that has arrived, up to its end; false when the peer is done. Reads once if there
    /// is none yet.
    pub async fn next_events(&mut self, events: &mut Vec<Event>) -> Result<bool, RtmpError> {
        // What stands behind an unpublish may be the next publish, which wants its own answer.
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

    /// Tells the peer, once, why it is refused. What it takes no longer is not waited for.
    pub async fn tell(&mut self, error: &RtmpError) {
        if self.is_past_telling || error.is_departure() {
            return;
        }
        self.is_past_telling = true;
        self.session
            .refuse(error.status_code(self.purpose), &error.description());
        let output = self.session.take_output();
        drop(timeout(FAREWELL_WAIT, self.socket.write_all(&output)).await);
    }

    /// Closes a refused connection so that the peer can read why: what it still sends is taken and thrown away. Closed
    /// with input unread, the kernel would reset the connection, and the peer lose what it has not read yet.
    pub async fn say_farewell(&mut self) {
        drop(self.socket.shutdown().await);
        let reading = async {
            let mut left = FAREWELL_BYTES_MAX;
            while left > 0 {
                self.buffer.clear();
                match self.fill().await {
                    Ok(true) => left = left.saturating_sub(self.buffer.len()),
                    Ok(false) | Err(_) => break,
                }
            }
        };
        drop(timeout(FAREWELL_WAIT, reading).await);
    }
}
