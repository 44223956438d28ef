//! Reads request bodies, with a limit on size and time.

use crate::error::Error;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::time::Duration;
use tokio::time::timeout;

/// Largest JSON body unless an operation accepts more, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Longest time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Pieces of a body as they arrive.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, warp::Error>>;

/// Counts the bytes of a body and drops them. Refuses a body over `bytes_max`.
pub(crate) async fn count(pieces: Pieces, bytes_max: usize) -> Result<usize, Error> {
    let mut bytes = 0;
    take(pieces, bytes_max, |piece| bytes += piece.len()).await?;
    Ok(bytes)
}

/// Reads the bytes of a body. Refuses a body over `bytes_max`.
pub(crate) async fn read(pieces: Pieces, bytes_max: usize) -> Result<BytesMut, Error> {
    let mut bytes = BytesMut::new();
    take(pieces, bytes_max, |piece| bytes.extend_from_slice(&piece)).await?;
    Ok(bytes)
}

async fn take(
    mut pieces: Pieces,
    bytes_max: usize,
    mut each: impl FnMut(Bytes),
) -> Result<(), Error> {
    let mut left = bytes_max;
    let all = async {
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(Error::BodyBrokenOff)?;
            left = left
                .checked_sub(piece.len())
                .ok_or_else(|| Error::BodyTooLarge { bytes_max })?;
            each(piece);
        }
        Ok(())
    };
    timeout(BODY_TIMEOUT, all).await.unwrap_or_else(|_| {
        Err(Error::BodyTooSlow {
            limit: BODY_TIMEOUT,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    /// A server error would page the operator for every slow caller.
    #[tokio::test(start_paused = true)]
    async fn a_slow_caller_does_not_count_as_a_failure_of_the_gateway() {
        let refused = read(stream::pending().boxed(), 10).await.unwrap_err();
        assert_eq!(refused.into_response().status(), 408);
    }
}
