//! Shared slices on their way into a socket.

use super::error::{HttpError, WRITE_WAIT};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::Poll;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Shared slices on their way out, written many at a time.
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

/// Writes all of `out`; whether the peer had to be waited for.
///
/// # Errors
/// [`HttpError::Slow`] if the peer takes nothing for [`WRITE_WAIT`], or the socket's error.
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

/// Most writes are taken at once: only one that is not pays for a timer. Whether this one was not.
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

/// One system call; the plain one where a single slice is left, which costs less.
async fn write_once<S: AsyncWrite + Unpin>(socket: &mut S, out: &mut Slices) -> io::Result<usize> {
    if out.queue.len() > 1 {
        return socket.write_buf(out).await;
    }
    let wrote = socket.write(out.chunk()).await?;
    out.advance(wrote);
    Ok(wrote)
}
