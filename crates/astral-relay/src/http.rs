//! HTTP/1.1 (RFC 9112) as a media listener needs it: small bounded heads in, shared bytes out.
//!
//! GET, HEAD and OPTIONS without bodies. Our own, since a response here is a list of shared slices written with one
//! system call, and a connection can be handed whole to a fan-out that never ends.

mod gzip;
mod write;

use astral_proto::{Code, Problem, target};
use bytes::{Buf, Bytes, BytesMut};
pub use gzip::gzip;
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
pub use write::{Slices, write_all};

/// Longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Most header fields in a request.
const FIELDS_MAX: usize = 64;
/// A connection that sends no whole head for this long is closed.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// A peer that takes no byte of a response for this long is dropped.
pub const WRITE_WAIT: Duration = Duration::from_secs(15);

/// Why a connection was given up.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The head is longer than allowed.
    #[error("request head is over the limit of {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// The head is not HTTP.
    #[error("request head is not HTTP/1.1: {0}")]
    NotHttp(httparse::Error),
    /// Bodies are not taken.
    #[error("request has a body, which nothing here takes")]
    Body,
    /// The peer is too slow.
    #[error("peer did not finish within {0:?}")]
    Slow(Duration),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl HttpError {
    /// A short name for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            HttpError::HeadTooLong => "head_too_long",
            HttpError::NotHttp(_) => "not_http",
            HttpError::Body => "body",
            HttpError::Slow(_) => "slow",
            HttpError::Io(_) => "io",
        }
    }

    /// Whether the peer simply went away, as viewers do: no failure of anybody's.
    pub fn is_departure(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
        };
        let left = [
            BrokenPipe,
            ConnectionAborted,
            ConnectionReset,
            NotConnected,
            UnexpectedEof,
        ];
        matches!(self, HttpError::Io(error) if left.contains(&error.kind()))
    }

    /// What the peer is told before its connection is closed, if it may still listen.
    pub fn response(&self) -> Option<Response> {
        let status = match self {
            HttpError::HeadTooLong => 431,
            HttpError::NotHttp(_) => 400,
            HttpError::Body => 413,
            HttpError::Slow(_) | HttpError::Io(_) => return None,
        };
        let problem = Problem::new(Code::BadRequest, self.to_string());
        Some(Response {
            status,
            ..Response::problem(&problem)
        })
    }
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// GET, HEAD, OPTIONS or something to be refused.
    pub method: String,
    /// The path, with every letter and digit spelled plainly.
    pub path: String,
    /// What stands behind the `?`, if anything.
    pub query: Option<String>,
    /// The bearer token, if one was sent.
    pub bearer: Option<String>,
    /// The player's name for itself.
    pub user_agent: String,
    /// The versions of the relay link that a subscriber understands (`Astral-Link`), if it says so.
    pub link_versions: Option<String>,
    /// The fields of its trace context (W3C Trace Context), if it has one.
    pub trace: HashMap<String, String>,
    /// Whether the peer has said that it closes.
    closes: bool,
    /// Whether the peer takes gzip.
    pub accepts_gzip: bool,
    /// Whether the peer wants the connection kept.
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

/// Reads the next request; none when the peer is done.
///
/// # Errors
/// [`HttpError`]; the connection is of no use afterwards.
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

/// Takes the next request head out of `buffer`; none while it is not whole.
///
/// # Errors
/// [`HttpError`] for what no further byte can mend.
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

/// The options of a Connection field (RFC 9112, 9.6): `close` has the last word.
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

/// A response with a body of known length.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Content-Type.
    pub content_type: &'static str,
    /// Cache-Control.
    pub cache: &'static str,
    /// Further fields.
    pub fields: Vec<(&'static str, String)>,
    /// The body, as shared slices.
    pub body: Vec<Bytes>,
}

/// For what never changes under its URL.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// For what changes all the time.
pub const NO_CACHE: &str = "no-cache";

impl Response {
    /// 200 with `body`.
    pub fn ok(content_type: &'static str, cache: &'static str, body: Vec<Bytes>) -> Self {
        Self {
            status: 200,
            content_type,
            cache,
            fields: Vec::new(),
            body,
        }
    }

    /// The same in gzip for whoever takes that; `packed` makes it.
    pub fn packed(mut self, request: &Request, packed: impl FnOnce() -> Bytes) -> Self {
        self.fields.push(("Vary", "Accept-Encoding".into()));
        if request.accepts_gzip {
            self.fields.push(("Content-Encoding", "gzip".into()));
            self.body = vec![packed()];
        }
        self
    }

    /// 204 to a preflight (CORS).
    pub fn preflight() -> Self {
        let fields = vec![
            ("Access-Control-Allow-Headers", "*".into()),
            ("Access-Control-Max-Age", "86400".into()),
        ];
        Self {
            status: 204,
            content_type: "text/plain",
            cache: NO_CACHE,
            fields,
            body: Vec::new(),
        }
    }

    /// An RFC 9457 document.
    pub fn problem(problem: &Problem) -> Self {
        let retry_after = problem.code.retry_after_seconds();
        // Pages of other origins read it only if they are let.
        let let_read = ("Access-Control-Expose-Headers", "Retry-After".to_owned());
        let fields =
            retry_after.map(|seconds| vec![("Retry-After", seconds.to_string()), let_read]);
        Self {
            status: problem.code.http_status(),
            content_type: "application/problem+json",
            cache: NO_CACHE,
            fields: fields.unwrap_or_default(),
            body: vec![problem.document().into()],
        }
    }
}

/// Sends `response`; the body is left out for HEAD. How many bytes that were.
///
/// # Errors
/// [`HttpError::Slow`] if the peer takes nothing for [`WRITE_WAIT`], or the socket's error.
pub async fn respond<S>(
    socket: &mut S,
    request: &Request,
    response: Response,
) -> Result<u64, HttpError>
where
    S: AsyncWrite + Unpin,
{
    let mut out = Slices::default();
    out.push(response_head(request, &response));
    if request.method != "HEAD" {
        response.body.into_iter().for_each(|slice| out.push(slice));
    }
    let bytes = out.remaining() as u64;
    write_all(socket, &mut out).await?;
    Ok(bytes)
}

fn response_head(request: &Request, response: &Response) -> Bytes {
    let length: usize = response.body.iter().map(Bytes::len).sum();
    let connection = if request.keep_alive {
        "keep-alive"
    } else {
        "close"
    };
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {length}\r\nCache-Control: {}\r\n\
         Access-Control-Allow-Origin: *\r\nConnection: {connection}\r\n",
        response.status,
        reason_phrase(response.status),
        response.content_type,
        response.cache,
    );
    for (name, value) in &response.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into()
}

/// The head of a response that runs until the connection closes.
pub fn endless_head(content_type: &str) -> Bytes {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nCache-Control: no-store\r\n\
         Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
    )
    .into()
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests;
