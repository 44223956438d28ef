//! Responses.

use super::error::HttpError;
use super::request::Request;
use super::write::{Slices, write_all};
use astral_proto::{Code, Problem};
use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

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

/// Cache-Control of what never changes under its URL.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Cache-Control of what changes all the time.
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

    /// The same in gzip for a peer that accepts it. `packed` makes it.
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

    /// The answer to a peer whose connection is given up for `error`; None if it cannot listen any
    /// more.
    pub fn to_error(error: &HttpError) -> Option<Self> {
        let status = match error {
            HttpError::HeadTooLong => 431,
            HttpError::NotHttp(_) => 400,
            HttpError::Body => 413,
            HttpError::Slow(_) | HttpError::Io(_) => return None,
        };
        let problem = Problem::new(Code::BadRequest, error.to_string());
        Some(Self {
            status,
            ..Self::problem(&problem)
        })
    }

    /// An RFC 9457 document.
    pub fn problem(problem: &Problem) -> Self {
        let retry_after = problem.code.retry_after_seconds();
        // Pages of other origins can read the field only if it is exposed.
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

/// Sends `response`, without its body for HEAD. Returns how many bytes were sent.
///
/// # Errors
/// [`HttpError::Slow`] if the peer accepts nothing for [`super::WRITE_WAIT`], or the error of the
/// socket.
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
