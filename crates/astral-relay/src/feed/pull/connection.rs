//! Connecting to a provider, and asking it for a stream.

use super::link_end::LinkEnd;
use crate::config::Connect;
use crate::failover_cause::FailoverCause;
use crate::http::HttpError;
use crate::observe::LinkSpan;
use astral_media::record::{VERSIONS_FIELD, Versions};
use astral_proto::limits::LINK_SILENCE;
use astral_proto::message::Offer;
use astral_proto::{FrameId, Incarnation, Slug};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::either::Either;

/// Longest response head of a provider, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Most header fields in the response of a provider.
const FIELDS_MAX: usize = 32;

/// The socket of a link.
pub type Wire = Either<TcpStream, DuplexStream>;

/// What a subscriber asks of a provider.
pub struct LinkRequest<'a> {
    /// The stream.
    pub slug: &'a Slug,
    /// The ticket.
    pub offer: &'a Offer,
    /// The first frame wanted; None for the oldest one that the provider lists.
    pub from: Option<FrameId>,
    /// The history in which `from` is numbered.
    pub incarnation: Incarnation,
}

/// Connects to a provider at `address`.
///
/// # Errors
/// `Failed` if it cannot be reached within the time that a link may be silent.
pub async fn connect(connect: &Connect, address: &str) -> Result<Wire, LinkEnd> {
    let unreachable = LinkEnd::Failed(FailoverCause::Unreachable);
    if let Connect::Within(reach) = connect {
        return reach(address).map(Either::Right).ok_or(unreachable);
    }
    let Ok(Ok(socket)) = timeout(LINK_SILENCE, TcpStream::connect(address)).await else {
        return Err(unreachable);
    };
    // Without it a request may wait for an acknowledgement; the link works all the same.
    drop(socket.set_nodelay(true));
    Ok(Either::Left(socket))
}

/// Sends `request` and reads the answer. Records that follow the answer stay in `buffer`.
///
/// # Errors
/// `Failed` if the socket fails or is silent, or how the provider refused.
pub async fn ask<S>(
    request: &LinkRequest<'_>,
    socket: &mut S,
    buffer: &mut BytesMut,
    span: &LinkSpan,
) -> Result<(), LinkEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let status = match timeout(LINK_SILENCE, exchange(request, socket, buffer, span)).await {
        Err(_) => return Err(LinkEnd::Failed(FailoverCause::Silent)),
        Ok(Err(_)) => return Err(LinkEnd::Failed(FailoverCause::Closed)),
        Ok(Ok(status)) => status,
    };
    span.answered(status);
    match status {
        200 => Ok(()),
        410 => Err(LinkEnd::FrameGone),
        503 => Err(LinkEnd::Refused(FailoverCause::Full)),
        _ => Err(LinkEnd::Refused(FailoverCause::Refused)),
    }
}

/// Sends the request and reads the head of the answer. Returns its status.
async fn exchange<S>(
    request: &LinkRequest<'_>,
    socket: &mut S,
    buffer: &mut BytesMut,
    span: &LinkSpan,
) -> Result<u16, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.write_all(head(request, span).as_bytes()).await?;
    loop {
        if let Some(status) = parse_head(buffer)? {
            return Ok(status);
        }
        if buffer.len() > HEAD_BYTES_MAX || socket.read_buf(buffer).await? == 0 {
            return Err(HttpError::HeadTooLong);
        }
    }
}

fn head(request: &LinkRequest<'_>, span: &LinkSpan) -> String {
    let LinkRequest {
        slug,
        offer,
        from,
        incarnation,
    } = request;
    let query = from.map(|id| format!("?from={id}&incarnation={incarnation}"));
    let trace: String = span
        .fields()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "GET /relay/{slug}{} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         {VERSIONS_FIELD}: {}\r\n{trace}\r\n",
        query.unwrap_or_default(),
        offer.advertise,
        &*offer.token,
        Versions::OURS
    )
}

/// Takes a response head out of `buffer` and returns its status; None until it is whole.
fn parse_head(buffer: &mut BytesMut) -> Result<Option<u16>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    match head.parse(buffer).map_err(HttpError::NotHttp)? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => {
            let status = head.code;
            buffer.advance(length);
            Ok(status)
        }
    }
}
