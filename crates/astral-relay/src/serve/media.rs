//! The connections of the media listener, by URL.

use super::refusal::{REDIRECT, refusal};
use super::{hls, link, viewer};
use crate::core::Relay;
use crate::http::{self, HttpError, Request, Response};
use crate::observe::Exchange;
use astral_proto::{Code, Problem, Slug};
use bytes::BytesMut;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes a connection's buffer starts with.
const BUFFER_BYTES: usize = 1024;
/// The route of every unknown path, for metrics.
const OTHER_ROUTE: &str = "other";

/// What a URL of the media listener asks for.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Flv(Slug),
    Link(Slug),
    Hls(Slug, hls::Asset),
}

impl Target {
    fn slug(&self) -> &Slug {
        match self {
            Target::Flv(slug) | Target::Link(slug) | Target::Hls(slug, _) => slug,
        }
    }

    /// The pattern of its path, for metrics and traces.
    fn route(&self) -> &'static str {
        match self {
            Target::Flv(_) => "/live/{slug}.flv",
            Target::Link(_) => "/relay/{slug}",
            Target::Hls(_, asset) => asset.route(),
        }
    }
}

/// Serves one connection of the media listener until it ends.
///
/// # Errors
/// `HttpError` if the peer breaks HTTP or is too slow.
pub async fn serve<S>(relay: &Relay, mut socket: S, peer: SocketAddr) -> Result<(), HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
    let mut counted = None;
    while let Some(mut request) = next_unless_leaving(relay, &mut socket, &mut buffer).await? {
        request.keep_alive &= !relay.departure().has_begun();
        let asked = route(&request);
        let (named, slug) = asked.as_ref().map_or((OTHER_ROUTE, None), |asked| {
            (asked.route(), Some(asked.slug()))
        });
        let exchange = Exchange::start(relay.node(), &request, named, slug);
        let mut of_hls = None;
        let answered = match asked {
            Ok(Target::Flv(slug)) => {
                return viewer::serve_flv(relay, &mut socket, &request, &slug, exchange).await;
            }
            Ok(Target::Link(slug)) => {
                return link::serve(relay, &mut socket, &request, &slug, exchange).await;
            }
            Ok(Target::Hls(slug, asset)) => {
                counted.get_or_insert_with(|| relay.departure().count_hls_connection());
                let answered = exchange
                    .within(hls::answer(relay, &request, peer, &slug, asset))
                    .await;
                of_hls = Some((slug, asset));
                answered
            }
            Err(answer) => answer,
        };
        let problem = answered.as_ref().err().cloned();
        let response = answered.unwrap_or_else(|problem| refusal(relay, &request, &problem));
        let status = response.status;
        request.keep_alive &= status != REDIRECT;
        let bytes = http::respond(&mut socket, &request, response).await?;
        if let Some((slug, asset)) = of_hls.as_ref().filter(|_| problem.is_none()) {
            hls::note_sent(relay, &request, peer, (slug, *asset), bytes);
        }
        match problem {
            Some(problem) => exchange.refused(status, &problem),
            None => exchange.answered(status),
        }
        if !request.keep_alive {
            break;
        }
    }
    Ok(())
}

/// The next request; None when the peer has closed, or when the relay leaves and the connection is
/// idle.
async fn next_unless_leaving<S>(
    relay: &Relay,
    socket: &mut S,
    buffer: &mut BytesMut,
) -> Result<Option<Request>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    tokio::select! {
        biased;
        request = next_request(socket, buffer) => request,
        () = relay.departure().idle_connections_close() => Ok(None),
    }
}

/// The next request. A peer that sends something else is told so.
async fn next_request<S>(
    socket: &mut S,
    buffer: &mut BytesMut,
) -> Result<Option<Request>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let read = http::read_request(socket, buffer).await;
    if let Some(response) = read.as_ref().err().and_then(Response::to_error) {
        // Write errors are ignored, because the original error is more useful.
        drop(http::respond(socket, &Request::default(), response).await);
    }
    read
}

/// What is asked for, or the answer if it is known already.
fn route(request: &Request) -> Result<Target, Result<Response, Problem>> {
    match request.method.as_str() {
        "GET" | "HEAD" => {}
        "OPTIONS" => return Err(Ok(Response::preflight())),
        other => {
            let detail = format!("method {other} is not taken here, only GET, HEAD and OPTIONS");
            return Err(Err(Problem::new(Code::BadRequest, detail)));
        }
    }
    parse_path(&request.path).map_err(Err)
}

fn parse_path(path: &str) -> Result<Target, Problem> {
    let unknown = || Problem::new(Code::NotFound, format!("there is nothing at {path}"));
    if let Some(slug) = path.strip_prefix("/relay/") {
        return Ok(Target::Link(slug.parse()?));
    }
    let rest = path.strip_prefix("/live/").ok_or_else(unknown)?;
    match rest.split_once('/') {
        Some((slug, asset)) => Ok(Target::Hls(
            slug.parse()?,
            hls::Asset::parse(asset).ok_or_else(unknown)?,
        )),
        None => Ok(Target::Flv(
            rest.strip_suffix(".flv").ok_or_else(unknown)?.parse()?,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use astral_proto::{EpochId, Incarnation};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn urls_name_a_stream_and_a_form() {
        let demo: Slug = "demo".parse().unwrap();
        assert_eq!(parse_path("/live/demo.flv"), Ok(Target::Flv(demo.clone())));
        assert_eq!(parse_path("/relay/demo"), Ok(Target::Link(demo.clone())));
        let epoch = EpochId {
            incarnation: Incarnation::from_bits(0x5eed),
            epoch: 1,
        };
        let asset = hls::Asset::Part {
            epoch,
            gop: 17,
            part: 3,
        };
        assert_eq!(
            parse_path("/live/demo/00005eed-1/17.3.m4s"),
            Ok(Target::Hls(demo, asset))
        );
        for unknown in [
            "/",
            "/live/demo",
            "/live/demo/x",
            "/live/demo/1/17.m4s",
            "/live/demo/00005eed-1/x.m4s",
            "/live/demo/00005eed-1/1.2.3.m4s",
            "/live/demo/00005eed-01/17.m4s",
            "/live/demo/00005eed-1/017.m4s",
            "/live/demo/00005eed-1/17.+3.m4s",
            "/live/demo/00005eed-1/init-00.mp4",
        ] {
            assert_eq!(
                parse_path(unknown).unwrap_err().code,
                Code::NotFound,
                "{unknown}"
            );
        }
        assert_eq!(
            parse_path("/live/a b.flv").unwrap_err().code,
            Code::BadRequest
        );
    }

    /// What `relay` answers to a GET of `path`.
    async fn answer(relay: &Relay, path: &str) -> String {
        let (mut peer, socket) = tokio::io::duplex(64 << 10);
        let asking = async {
            let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
            peer.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            peer.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let from = ([127, 0, 0, 1], 1).into();
        let (served, answer) = tokio::join!(serve(relay, socket, from), asking);
        served.unwrap();
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn each_reason_to_turn_a_viewer_away_has_an_answer_of_its_own() {
        for (code, status, retry_after) in [
            (Code::NotFound, 404, None),
            (Code::NotBegun, 503, Some("2")),
            (Code::Full, 503, Some("5")),
            (Code::ControlPlaneAway, 503, Some("1")),
        ] {
            for path in [
                "/live/demo.flv",
                "/live/demo/index.m3u8",
                "/live/demo/media.m3u8",
            ] {
                let answer = answer(&testing::relay_without_ticket(code), path).await;
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{path}: {answer}"
                );
                let code = format!("\"code\":\"{}\"", code.as_str());
                assert!(answer.contains(&code), "{path}: {answer}");
                let told = answer
                    .lines()
                    .find_map(|line| line.strip_prefix("Retry-After: "));
                assert_eq!(told, retry_after, "{path}: {answer}");
                let is_readable = answer.contains("Access-Control-Expose-Headers: Retry-After\r\n");
                assert_eq!(
                    is_readable,
                    retry_after.is_some(),
                    "pages of other origins read it: {answer}"
                );
            }
        }
    }
}
