//! The relay link from the side of its provider: `GET /relay/SLUG?from=GOP.FRAME`.

use crate::core::{Feed, Relay};
use crate::core::{ReaderGuard, ReaderKind, Stream};
use crate::feed::ensure_pulled;
use crate::http::{self, HttpError, Request, Response, Slices};
use crate::log::{Cursor, Item};
use crate::observe::Exchange;
use crate::ticket_check::OpenLink;
use astral_media::frame::Parameters;
use astral_media::record::{self, Record, VERSIONS_FIELD, Versions};
use astral_proto::limits::KEEP_ALIVE;
use astral_proto::{Code, FrameId, Incarnation, NodeId, Problem, Slug, UnixMillis};
use bytes::{Buf, Bytes};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, timeout_at};

/// Content-Type of the relay link.
const RECORDS_TYPE: &str = "application/x-astral-records";
/// The link of a revoked ticket stays open for this long, in which its subscriber opens the next
/// one.
const REVOKED_WAIT: Duration = Duration::from_secs(5);

/// The first frame that a subscriber wants.
#[derive(Clone, Copy, Default)]
struct Wanted {
    /// None for the first GOP of the playlist.
    first: Option<FrameId>,
    /// The incarnation in which it is numbered.
    incarnation: Incarnation,
}

impl Wanted {
    fn read(request: &Request) -> Result<Self, Problem> {
        let first = request.parameter("from").map(str::parse).transpose()?;
        let incarnation = request
            .parameter("incarnation")
            .map(str::parse)
            .transpose()?;
        Ok(Self {
            first,
            incarnation: incarnation.unwrap_or_default(),
        })
    }

    /// The same for a stream of incarnation `held`: a number of another incarnation means nothing.
    fn within(self, held: Incarnation) -> Self {
        if self.incarnation.differs_from(held) {
            Self::default()
        } else {
            self
        }
    }
}

struct AdmittedLink {
    reader: ReaderGuard,
    link: OpenLink,
    wanted: Wanted,
    version: Option<u16>,
}

/// Answers a subscriber.
///
/// # Errors
/// [`HttpError`] when its socket fails or takes nothing.
pub async fn serve<S>(
    relay: &Relay,
    socket: &mut S,
    request: &Request,
    slug: &Slug,
    exchange: Exchange,
) -> Result<(), HttpError>
where
    S: AsyncWrite + Unpin,
{
    let admitted = match exchange.scope(|| admit(relay, request, slug)) {
        Ok(admitted) => admitted,
        Err((problem, oldest)) => {
            metrics::counter!("astral_links_refused_total", "code" => problem.code.as_str())
                .increment(1);
            let mut response = Response::problem(&problem);
            response
                .fields
                .extend(oldest.map(|gop| ("Astral-Oldest-Gop", gop.to_string())));
            exchange.refused(response.status, &problem);
            return http::respond(socket, request, response).await.map(drop);
        }
    };
    let subscriber = admitted.link.claims.subscriber;
    let mut life = LinkLog::opened(slug, subscriber);
    exchange.link(
        subscriber,
        admitted
            .reader
            .stream()
            .path
            .borrow()
            .len()
            .saturating_sub(1),
    );
    let sender = Sender::new(
        &admitted.reader,
        admitted.wanted,
        admitted.version,
        exchange,
    );
    let revoked = async {
        admitted.link.revoked.cancelled().await;
        tokio::time::sleep(REVOKED_WAIT).await;
    };
    let outcome = tokio::select! {
        biased;
        () = revoked => {
            life.reason = "ticket_revoked";
            return Ok(());
        }
        outcome = sender.run(socket) => outcome,
    };
    life.reason = outcome.as_ref().err().map_or("ended", HttpError::reason);
    outcome
}

/// Logs the opening and the end of a link, however it ends.
struct LinkLog<'a> {
    slug: &'a Slug,
    subscriber: NodeId,
    /// Why it ends.
    reason: &'static str,
}

impl<'a> LinkLog<'a> {
    fn opened(slug: &'a Slug, subscriber: NodeId) -> Self {
        tracing::info!(stream.slug = %slug, subscriber.id = %subscriber, "link opened");
        // Until another reason is known: whoever drops the link without one is the end of the
        // relay, or a drill.
        Self {
            slug,
            subscriber,
            reason: "relay_stopped",
        }
    }
}

impl Drop for LinkLog<'_> {
    fn drop(&mut self) {
        let reason = self.reason;
        tracing::info!(stream.slug = %self.slug, subscriber.id = %self.subscriber, reason, "link closed");
    }
}

type Refusal = (Problem, Option<u64>);

fn admit(relay: &Relay, request: &Request, slug: &Slug) -> Result<AdmittedLink, Refusal> {
    let plain = |problem| (problem, None);
    let token = request.bearer.as_deref().ok_or_else(|| {
        plain(Problem::new(
            Code::Unauthenticated,
            "a relay link takes a ticket as bearer token",
        ))
    })?;
    let asked = Wanted::read(request).map_err(plain)?;
    let version = agree(request.link_versions.as_deref()).map_err(plain)?;
    let link = relay
        .ticket_check()
        .open(token, slug, UnixMillis::new(relay.clock().now()))
        .map_err(plain)?;
    let stream = ensure_pulled(relay, slug).map_err(plain)?;
    if !relay.has_room_for_link(&stream, link.claims.standby) {
        return Err(plain(Problem::new(
            Code::Full,
            "this relay has no room for another link",
        )));
    }
    let wanted = asked.within(stream.log.incarnation());
    if let Some(gone) = wanted
        .first
        .filter(|first| !stream.log.can_start_at(*first))
    {
        let problem = Problem::new(Code::Gone, format!("frame {gone} has left the log"));
        return Err((problem, stream.log.oldest_gop()));
    }
    Ok(AdmittedLink {
        reader: ReaderGuard::new(&stream, ReaderKind::Link),
        link,
        wanted,
        version,
    })
}

/// The version of the link for a subscriber that understands `versions`; None if the subscriber
/// does not say, and so is not told either.
fn agree(versions: Option<&str>) -> Result<Option<u16>, Problem> {
    let bad_request = |detail| Problem::new(Code::BadRequest, detail);
    let Some(versions) = versions else {
        return Ok(None);
    };
    let theirs: Versions = versions
        .parse()
        .map_err(|error| bad_request(format!("{VERSIONS_FIELD}: {error}")))?;
    let ours = Versions::OURS;
    let agreed = ours.agree(theirs).ok_or_else(|| {
        bad_request(format!(
            "this relay speaks versions {ours} of the relay link, the subscriber {theirs}: upgrade one"
        ))
    })?;
    Ok(Some(agreed))
}

struct Sender<'a> {
    stream: &'a Stream,
    reader: &'a ReaderGuard,
    cursor: Option<Cursor>,
    wanted: Wanted,
    /// The version of the link, if the subscriber must be told.
    version: Option<u16>,
    parameters: Option<Arc<Parameters>>,
    /// Open until the first records of the stream are written.
    opening: Option<Exchange>,
}

impl<'a> Sender<'a> {
    fn new(
        reader: &'a ReaderGuard,
        wanted: Wanted,
        version: Option<u16>,
        opening: Exchange,
    ) -> Self {
        let cursor = wanted.first.map(Cursor::at);
        let stream = reader.stream();
        Self {
            stream,
            reader,
            cursor,
            wanted,
            version,
            parameters: None,
            opening: Some(opening),
        }
    }

    async fn run<S: AsyncWrite + Unpin>(mut self, socket: &mut S) -> Result<(), HttpError> {
        let mut pictures = self.stream.log.watch_pictures();
        let mut path = self.stream.path.subscribe();
        let mut out = Slices::default();
        out.push(http::endless_head(RECORDS_TYPE));
        if let Some(version) = self.version {
            out.push(record::encode(&Record::Version(version)));
        }
        out.push(self.path(&path.borrow_and_update()));
        out.push(self.keep_alive());
        let mut items = Vec::new();
        let dismissals = self.stream.dismissals();
        let mut wrote_at = Instant::now();
        loop {
            pictures.borrow_and_update();
            self.read(&mut items);
            if path.has_changed().unwrap_or(false) {
                out.push(self.path(&path.borrow_and_update()));
            }
            let idle = items.is_empty();
            items.drain(..).for_each(|item| self.put(item, &mut out));
            let ended = idle && self.stream.log.has_ended();
            if ended {
                out.push(record::encode(&Record::Ended));
            }
            if !out.is_empty() {
                let bytes = out.remaining();
                http::write_all(socket, &mut out).await?;
                self.reader.sent(bytes);
                wrote_at = Instant::now();
            }
            if let Some(opening) = self.opening.take_if(|_| !idle || ended) {
                opening.answered(200);
            }
            if ended || self.stream.dismissals() != dismissals {
                return Ok(());
            }
            // Frames before the wanted one are not sent, so the subscriber would see silence
            // without a keep-alive.
            if idle
                && timeout_at(wrote_at + KEEP_ALIVE, pictures.changed())
                    .await
                    .is_err()
            {
                out.push(self.keep_alive());
            }
        }
    }

    /// Reads the next items. A subscriber that wants no certain frame starts at the first GOP of
    /// the playlist, once there is one. A frame that was wanted before anything was here may turn
    /// out to be of another incarnation, and is then ignored.
    fn read(&mut self, items: &mut Vec<Item>) {
        let is_void = self
            .wanted
            .incarnation
            .differs_from(self.stream.log.incarnation());
        if is_void {
            self.wanted = Wanted::default();
            self.cursor = None;
        }
        if self.cursor.is_none() {
            self.cursor = self
                .stream
                .log
                .first_listed_gop()
                .map(|gop| Cursor::at(FrameId::new(gop, 0)));
        }
        if let Some(cursor) = &mut self.cursor {
            self.stream.log.read(cursor, items);
        }
    }

    fn put(&mut self, item: Item, out: &mut Slices) {
        match item {
            Item::Start(start) => {
                if self.parameters.as_ref() != Some(&start.parameters) {
                    self.parameters = Some(start.parameters.clone());
                    out.push(record::encode(&Record::Parameters(
                        start.parameters.clone(),
                    )));
                }
                out.push(record::encode(&Record::Start((*start).clone())));
            }
            Item::Frame(wired)
                if self
                    .wanted
                    .first
                    .is_some_and(|first| wired.frame.id < first) => {}
            Item::Frame(wired) => {
                out.push(wired.link().clone());
                out.push(wired.frame.payload.clone());
            }
            Item::End(end) => out.push(record::encode(&Record::End(end))),
        }
    }

    fn path(&self, path: &[NodeId]) -> Bytes {
        record::encode(&Record::Path(path.to_vec()))
    }

    fn keep_alive(&self) -> Bytes {
        let newest = self.stream.log.newest();
        let upstream_ok = self.stream.feed.read(Feed::upstream_ok);
        record::encode(&Record::KeepAlive {
            newest,
            upstream_ok,
        })
    }
}

#[cfg(test)]
mod tests;
