//! A socket that gives up on a peer that does not read. A long answer, such as events, would wait
//! for it forever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Longest time in which a peer reads nothing although something waits for it.
const WRITE_WITHIN: Duration = Duration::from_secs(20);

/// A socket whose writes fail with `TimedOut` after 20 s in which nothing could be written.
pub(crate) struct Patience<S> {
    socket: S,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patience<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            waiting: None,
        }
    }

    /// Returns the result of an attempt to write, or the timeout.
    fn wait<T>(
        &mut self,
        tried: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.waiting = None;
            return tried;
        }
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(WRITE_WITHIN)));
        waiting.as_mut().poll(context).map(|()| {
            let seconds = WRITE_WITHIN.as_secs();
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the peer has read nothing for {seconds} s"),
            ))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.wait(tried, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.wait(tried, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.socket).poll_flush(context);
        self.wait(tried, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.socket).poll_shutdown(context);
        self.wait(tried, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (socket, _peer) = duplex(4);
        let error = Patience::new(socket)
            .write_all(b"more than four")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_a_little_at_a_time_is_waited_for() {
        let (socket, mut peer) = duplex(4);
        let reading = async {
            for _ in 0..4 {
                sleep(WRITE_WITHIN - Duration::from_secs(1)).await;
                peer.read_exact(&mut [0; 4]).await.unwrap();
            }
        };
        let mut socket = Patience::new(socket);
        let (written, ()) = tokio::join!(socket.write_all(&[7; 16]), reading);
        written.unwrap();
    }
}
