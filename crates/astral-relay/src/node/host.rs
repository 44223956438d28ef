//! What the host of a relay sees of it and may tell it: how much to lend, and which streams to carry, let go or keep
//! out.

use crate::core::Relay;
use crate::core::{ReaderKind, SeatKind, Stream, Supply};
use crate::sync::lock;
use astral_proto::model::{self, Node, NodeState, Role, StreamState};
use astral_proto::{Code, NodeId, Problem, Slug};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One stream as the host of a relay sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HostedStream {
    /// The stream, as far as it is known here.
    #[serde(flatten)]
    pub stream: model::Stream,
    /// Who it is pulled from; none at its origin, or while it is not carried.
    pub provider: Option<NodeId>,
    /// Who it would be pulled from next.
    pub standby: Option<NodeId>,
    /// Relay links from the origin; none until known.
    pub hops: Option<u32>,
    /// How many relays pull it from here.
    pub subscribers: u32,
    /// Whether it is carried though nobody watches.
    pub kept: bool,
    /// Why it is not carried, if it was asked for.
    pub problem: Option<String>,
}

impl Relay {
    /// This node as its host sees it; `wanted` is the role it has until it has registered.
    pub fn as_node(&self, wanted: Role) -> Node {
        let statement = self.statement();
        let standing = self.standing();
        let reach = self.config().reach.clone();
        Node {
            uuid: self.node(),
            name: reach.name,
            role: standing.role.unwrap_or(wanted),
            state: if statement.draining {
                NodeState::Draining
            } else {
                NodeState::Up
            },
            media_url: reach.media_url,
            rtmp_url: reach.rtmp_url,
            advertise: reach.advertise,
            primary_supernode: standing.primary_supernode,
            limit_kbps: statement.limit_kbps,
            promised_kbps: standing.promised_kbps,
            viewer_kbps: statement.viewer_kbps,
            streams: statement.streams.len() as u32,
        }
    }

    /// Every stream here, by name.
    pub fn hosted(&self) -> Vec<HostedStream> {
        let mut hosted: Vec<_> = self
            .streams()
            .iter()
            .map(|stream| stream.hosted())
            .collect();
        hosted.sort_by(|one, other| one.stream.slug.cmp(&other.stream.slug));
        hosted
    }

    /// What it may spend upstream, kbit/s.
    pub fn limit_kbps(&self) -> u32 {
        self.shared.limit_kbps.load(Ordering::Relaxed)
    }

    /// Changes what it may spend upstream from now on, kbit/s. What is promised already is served on; the next
    /// heartbeat tells the broker.
    pub fn set_limit_kbps(&self, limit_kbps: u32) {
        self.shared.limit_kbps.store(limit_kbps, Ordering::Relaxed);
    }

    /// Sends viewers to another gateway from now on, when this relay is full: its base URL, without a trailing slash.
    pub fn set_gateway_url(&self, url: &str) {
        *lock(&self.shared.gateway_url) = Some(url.to_owned());
    }

    /// Where viewers are sent when this relay is full, if that is known.
    pub(crate) fn gateway_url(&self) -> Option<String> {
        lock(&self.shared.gateway_url).clone()
    }

    /// Carries `slug` until it ends or is let go, whether anybody watches or not.
    ///
    /// # Errors
    /// As [`Relay::want`].
    pub fn keep(&self, slug: &Slug) -> Result<Arc<Stream>, Problem> {
        let stream = self.want(slug)?;
        stream.set_kept(true);
        Ok(stream)
    }

    /// Stops carrying `slug`: viewers' connections end, subscribers go to their next provider. It is pulled again when
    /// somebody wants it.
    ///
    /// # Errors
    /// `not_found` if it is not here, `conflict` at its origin.
    pub fn let_go(&self, slug: &Slug) -> Result<(), Problem> {
        let stream = self.find(slug).ok_or_else(|| {
            Problem::new(Code::NotFound, format!("stream {slug} is not on this node"))
        })?;
        refuse_at_origin(&stream)?;
        stream.set_kept(false);
        drop_supply(&stream);
        Ok(())
    }

    /// Keeps `slug` out: it is let go and not pulled for anybody until it is taken back in.
    ///
    /// # Errors
    /// `conflict` at its origin, `unavailable` when the relay carries as many streams as it may.
    pub fn keep_out(&self, slug: &Slug) -> Result<(), Problem> {
        let stream = self.find_or_add(slug)?;
        refuse_at_origin(&stream)?;
        stream.set_kept(false);
        stream.set_kept_out(true);
        drop_supply(&stream);
        Ok(())
    }

    /// Takes `slug` back in: it is pulled when somebody wants it.
    pub fn take_back_in(&self, slug: &Slug) {
        if let Some(stream) = self.find(slug) {
            stream.set_kept_out(false);
        }
    }
}

impl Stream {
    /// The stream as the host of this relay sees it.
    pub fn hosted(&self) -> HostedStream {
        let carried = self.carried();
        let path = if self.is_carried() {
            carried.path
        } else {
            Vec::new()
        };
        let refusal = match &*self.supply.borrow() {
            Supply::Refused(problem) => Some(problem.detail.clone()),
            Supply::Starting | Supply::Flowing => None,
        };
        HostedStream {
            stream: model::Stream {
                slug: carried.slug,
                state: self.state_here(),
                epoch: carried.epoch,
                origin: path.first().copied(),
                kbps: carried.kbps,
                started_at: None,
                last_seen_at: self.origin().map(|origin| origin.last_media_at),
                viewers: carried.viewers,
                warnings: Vec::new(),
                last_refusal: None,
            },
            provider: path.iter().rev().nth(1).copied(),
            standby: carried.standby,
            hops: (path.len() as u32).checked_sub(1),
            subscribers: self.count(ReaderKind::Link),
            kept: self.is_kept(),
            problem: refusal,
        }
    }

    fn state_here(&self) -> StreamState {
        match self.origin() {
            _ if self.is_kept_out() => StreamState::Paused,
            Some(origin) if !origin.has_publisher => StreamState::Grace,
            _ if self.log.has_ended() => StreamState::Ended,
            _ if self.is_carried() => StreamState::Live,
            _ => StreamState::Idle,
        }
    }
}

fn refuse_at_origin(stream: &Stream) -> Result<(), Problem> {
    if stream.fed_by() == Some(SeatKind::Origin) {
        let detail = format!(
            "stream {} is published here: stop its publisher instead",
            stream.slug
        );
        return Err(Problem::new(Code::Conflict, detail));
    }
    Ok(())
}

fn drop_supply(stream: &Stream) {
    stream.unseat();
    stream.dismiss_readers();
    tracing::info!(stream.slug = %stream.slug, "let go by the host");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use astral_media::frame::Media;
    use std::time::Duration;

    fn demo() -> Slug {
        "demo".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_kept_out_stays_so_until_it_is_taken_back_in() {
        let relay = testing::relay();
        relay.keep_out(&demo()).unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(
            relay.want(&demo()).err().map(|problem| problem.code),
            Some(Code::Unavailable)
        );
        assert_eq!(relay.hosted()[0].stream.state, StreamState::Paused);
        relay.take_back_in(&demo());
        assert!(relay.want(&demo()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_kept_is_asked_for_until_it_is_let_go() {
        let relay = testing::relay();
        relay.keep(&demo()).unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        let stream = relay.find(&demo()).unwrap();
        assert_eq!(
            stream.fed_by(),
            Some(SeatKind::Pull),
            "though nobody watches"
        );
        relay.let_go(&demo()).unwrap();
        assert_eq!((stream.fed_by(), stream.is_kept()), (None, false));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(
            relay.let_go(&demo()).map_err(|problem| problem.code),
            Err(Code::NotFound)
        );
    }

    #[tokio::test]
    async fn a_stream_published_here_is_neither_let_go_nor_kept_out() {
        let relay = testing::relay();
        let stream = relay.find_or_add(&demo()).unwrap();
        stream.take_seat(SeatKind::Origin);
        for refused in [relay.let_go(&demo()), relay.keep_out(&demo())] {
            assert_eq!(refused.map_err(|problem| problem.code), Err(Code::Conflict));
        }
        assert!(!stream.is_kept_out());
    }

    #[tokio::test]
    async fn a_limit_that_changes_is_stated_and_decides_at_once() {
        let relay = testing::relay();
        let stream = relay.find_or_add(&demo()).unwrap();
        let frames = (0..5).map(|number| Media::Frame(testing::frame(0, number)));
        stream
            .log
            .append(
                [Media::Start(testing::gop_start(0))]
                    .into_iter()
                    .chain(frames),
            )
            .unwrap();
        assert!(relay.has_room(&stream, false));
        relay.set_limit_kbps(stream.log.kbps() - 1);
        assert!(!relay.has_room(&stream, false));
        assert_eq!(relay.statement().limit_kbps, stream.log.kbps() - 1);
    }
}
