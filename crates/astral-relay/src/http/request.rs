//! Request heads.

use super::error::{HEAD_BYTES_MAX, HttpError};
use super::gzip;
use astral_proto::target;
use bytes::{Buf, BytesMut};
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Most header fields in a request.
const FIELDS_MAX: usize = 64;
/// A connection that sends no whole head for this long is closed.
pub const HEAD_WAIT: Duration = Duration::from_secs(30);

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// GET, HEAD, OPTIONS, or something that is refused.
    pub method: String,
    /// The path, without needless percent-encoding.
    pub path: String,
    /// What follows the `?`, if anything.
    pub query: Option<String>,
    /// The bearer token, if one was sent.
    pub bearer: Option<String>,
    /// The User-Agent field.
    pub user_agent: String,
    /// The versions of the relay link that a subscriber understands (`Astral-Link`), if it says so.
    pub link_versions: Option<String>,
    /// The fields of its trace context (W3C Trace Context), if it has one.
    pub trace: HashMap<String, String>,
    /// Whether the peer has said that it closes.
    pub(super) closes: bool,
    /// Whether the peer accepts gzip.
    pub accepts_gzip: bool,
    /// Whether the peer keeps the connection open.
    pub keep_alive: bool,
}

impl Request {
    /// The value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.as_deref()?.split('&');
        pairs
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// Reads the next request; None when the peer has closed.
///
/// # Errors
/// [`HttpError`]; the connection cannot be used afterwards.
pub async fn read_request<S>(
    socket: &mut S,
    buffer: &mut BytesMut,
) -> Result<Option<Request>, HttpError>
where
    S: AsyncRead + Unpin,
{
    let reading = async {
        loop {
            if let Some(request) = parse_head(buffer)? {
                return Ok(Some(request));
            }
            if buffer.len() >= HEAD_BYTES_MAX {
                return Err(HttpError::HeadTooLong);
            }
            if socket.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
    };
    tokio::time::timeout(HEAD_WAIT, reading)
        .await
        .unwrap_or(Err(HttpError::Slow(HEAD_WAIT)))
}

/// Takes the next request head out of `buffer`; None until it is whole.
///
/// # Errors
/// [`HttpError`] for a head that no further byte can complete.
pub fn parse_head(buffer: &mut BytesMut) -> Result<Option<Request>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let status = head.parse(buffer).map_err(HttpError::NotHttp)?;
    let httparse::Status::Complete(length) = status else {
        return Ok(None);
    };
    let target = target::normal(head.path.unwrap_or("/"));
    let (path, query) = target
        .split_once('?')
        .map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
    let mut request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        keep_alive: head.version == Some(1),
        ..Request::default()
    };
    for field in head.headers.iter() {
        take_field(&mut request, field)?;
    }
    buffer.advance(length);
    Ok(Some(request))
}

fn take_field(request: &mut Request, field: &httparse::Header<'_>) -> Result<(), HttpError> {
    let value = std::str::from_utf8(field.value).unwrap_or_default().trim();
    let name = field.name.to_ascii_lowercase();
    match name.as_str() {
        "connection" => take_connection(request, value),
        "accept-encoding" => request.accepts_gzip |= gzip::is_accepted(value),
        "authorization" => request.bearer = value.strip_prefix("Bearer ").map(str::to_owned),
        "traceparent" | "tracestate" => drop(request.trace.insert(name, value.to_owned())),
        "astral-link" => request.link_versions = Some(value.to_owned()),
        "user-agent" => request.user_agent = value.to_owned(),
        "content-length" if value != "0" => return Err(HttpError::Body),
        "transfer-encoding" => return Err(HttpError::Body),
        _ => {}
    }
    Ok(())
}

/// The options of a Connection field (RFC 9112, 9.6). `close` wins over `keep-alive`.
fn take_connection(request: &mut Request, value: &str) {
    let options: Vec<_> = value.split(',').map(str::trim).collect();
    let names = |option: &str| {
        options
            .iter()
            .any(|known| known.eq_ignore_ascii_case(option))
    };
    request.closes |= names("close");
    request.keep_alive = !request.closes && (request.keep_alive || names("keep-alive"));
}
