//! Writing shared slices to a socket.

use super::error::{HttpError, WRITE_WAIT};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::Poll;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Shared slices to write, many at a time.
#[derive(Default)]
pub struct Slices {
    queue: VecDeque<Bytes>,
    length: usize,
}

impl Slices {
    /// Appends a slice.
    pub fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.length += slice.len();
            self.queue.push_back(slice);
        }
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Buf for Slices {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.queue.front().map_or(&[], |slice| slice)
    }

    fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(front) = self.queue.front_mut() {
            if count < front.len() {
                return front.advance(count);
            }
            count -= front.len();
            self.queue.pop_front();
        }
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let pairs = out.iter_mut().zip(&self.queue);
        pairs
            .map(|(slot, slice)| *slot = IoSlice::new(slice))
            .count()
    }
}

/// Writes all of `out`. Returns whether it had to wait for the peer.
///
/// # Errors
/// [`HttpError::Slow`] if the peer accepts nothing for [`WRITE_WAIT`], or the error of the socket.
pub async fn write_all<S: AsyncWrite + Unpin>(
    socket: &mut S,
    out: &mut Slices,
) -> Result<bool, HttpError> {
    let mut waited = false;
    while !out.is_empty() {
        waited |= write_some(socket, out).await?;
    }
    Ok(waited)
}

/// Writes once, and returns whether it had to wait. Most writes succeed at once, so only those that
/// do not pay for a timer.
async fn write_some<S: AsyncWrite + Unpin>(
    socket: &mut S,
    out: &mut Slices,
) -> Result<bool, HttpError> {
    let mut writing = pin!(write_once(socket, out));
    let at_once = poll_fn(|context| Poll::Ready(writing.as_mut().poll(context))).await;
    let (wrote, waited) = match at_once {
        Poll::Ready(wrote) => (wrote?, false),
        Poll::Pending => {
            let wrote = tokio::time::timeout(WRITE_WAIT, writing).await;
            (wrote.map_err(|_| HttpError::Slow(WRITE_WAIT))??, true)
        }
    };
    if wrote == 0 {
        return Err(io::Error::from(io::ErrorKind::WriteZero).into());
    }
    Ok(waited)
}

/// Makes one system call: for a single slice the plain one, which costs less.
async fn write_once<S: AsyncWrite + Unpin>(socket: &mut S, out: &mut Slices) -> io::Result<usize> {
    if out.queue.len() > 1 {
        return socket.write_buf(out).await;
    }
    let wrote = socket.write(out.chunk()).await?;
    out.advance(wrote);
    Ok(wrote)
}
