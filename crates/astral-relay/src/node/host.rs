//! What the host of a relay sees of it, and which streams the host may keep, let go or keep out.

use super::statement::own_view;
use crate::core::{Feed, ReaderKind, Relay, Stage, Stream};
use crate::feed::{ensure_pulled, wait_until_flowing};
use astral_proto::model::{self, Node, NodeState, Role, StreamState};
use astral_proto::{Code, Kbps, NodeId, Problem, Slug, UnixMillis};

/// One stream as the host of a relay sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HostedStream {
    /// The stream, as far as it is known here.
    #[serde(flatten)]
    pub stream: model::Stream,
    /// The node that it is pulled from; None at its origin, or while it is not carried.
    pub provider: Option<NodeId>,
    /// The node that it would be pulled from after a failover.
    pub standby: Option<NodeId>,
    /// Relay links from the origin; None until they are known.
    pub hops: Option<u32>,
    /// How many relays pull it from here.
    pub subscribers: u32,
    /// Whether it is carried even if nobody watches.
    pub kept: bool,
    /// Why it is not carried, if it was asked for.
    pub problem: Option<String>,
}

/// This node as its host sees it; `wanted` is the role that it has until it has registered.
pub fn hosted_node(relay: &Relay, wanted: Role) -> Node {
    let view = own_view(relay);
    let status = relay.status();
    let reach = relay.config().reach.clone();
    Node {
        uuid: relay.node(),
        name: reach.name,
        role: status.role.unwrap_or(wanted),
        state: if view.draining {
            NodeState::Draining
        } else {
            NodeState::Up
        },
        media_url: reach.media_url,
        rtmp_url: reach.rtmp_url,
        advertise: reach.advertise,
        primary_supernode: status.primary_supernode,
        limit_kbps: view.limit_kbps,
        promised_kbps: Kbps::new(relay.promised_kbps()),
        viewer_kbps: view.viewer_kbps,
        streams: view.streams.len() as u32,
    }
}

/// Every stream here, by name.
pub fn hosted_streams(relay: &Relay) -> Vec<HostedStream> {
    let streams = relay.streams().all();
    streams.iter().map(|stream| hosted(stream)).collect()
}

/// The stream.
///
/// # Errors
/// `not_found` if it is not here.
pub fn hosted_stream(relay: &Relay, slug: &Slug) -> Result<HostedStream, Problem> {
    let stream = relay.find(slug).ok_or_else(|| not_here(slug))?;
    Ok(hosted(&stream))
}

/// Carries `slug` until it ends or is let go, whether anybody watches or not, and waits until it
/// flows.
///
/// # Errors
/// What the control plane said (`not_found`, or `not_begun` while nobody publishes). If nothing came
/// within 5 s: `full`, `control_plane_away` or `unavailable`, by what is missing.
pub async fn keep_until_flowing(relay: &Relay, slug: &Slug) -> Result<(), Problem> {
    keep(relay, slug)?;
    wait_until_flowing(relay, slug).await?;
    Ok(())
}

/// Carries `slug` until it ends or is let go, whether anybody watches or not.
///
/// # Errors
/// `unavailable` when the relay leaves, when its host keeps the stream out, or when it has too many
/// streams.
pub fn keep(relay: &Relay, slug: &Slug) -> Result<(), Problem> {
    let stream = ensure_pulled(relay, slug)?;
    stream.feed.update(Feed::keep);
    Ok(())
}

/// Stops carrying `slug`: the connections of viewers end, and subscribers switch to their next
/// provider. It is pulled again when somebody wants it.
///
/// # Errors
/// `not_found` if it is not here, `conflict` at its origin.
pub fn let_go(relay: &Relay, slug: &Slug) -> Result<(), Problem> {
    let stream = relay.find(slug).ok_or_else(|| not_here(slug))?;
    stream.feed.update(|feed| feed.let_go(slug))?;
    dismiss(&stream);
    Ok(())
}

/// Keeps `slug` out: it is let go, and not pulled for anybody until [`take_back_in`].
///
/// # Errors
/// `conflict` at its origin, `unavailable` when the relay has too many streams.
pub fn keep_out(relay: &Relay, slug: &Slug) -> Result<(), Problem> {
    let stream = relay.streams().find_or_add(slug)?;
    stream.feed.update(|feed| feed.keep_out(slug))?;
    dismiss(&stream);
    Ok(())
}

/// Ends what [`keep_out`] began: `slug` is pulled when somebody wants it.
pub fn take_back_in(relay: &Relay, slug: &Slug) {
    if let Some(stream) = relay.find(slug) {
        stream.feed.update(Feed::take_back_in);
    }
}

fn dismiss(stream: &Stream) {
    stream.dismiss_readers();
    tracing::info!(stream.slug = %stream.slug, "let go by the host");
}

fn not_here(slug: &Slug) -> Problem {
    Problem::new(Code::NotFound, format!("stream {slug} is not on this node"))
}

fn hosted(stream: &Stream) -> HostedStream {
    let carried = stream.carried();
    let path = if stream.is_carried() {
        carried.path
    } else {
        Vec::new()
    };
    let (kept, problem) = stream.feed.read(|feed| {
        let problem = feed.problem().map(|problem| problem.detail.clone());
        (feed.is_kept(), problem)
    });
    HostedStream {
        stream: model::Stream {
            slug: carried.slug,
            state: state_here(stream),
            epoch: carried.epoch,
            origin: path.first().copied(),
            kbps: carried.kbps,
            started_at: None,
            last_seen_at: stream
                .origin()
                .map(|origin| UnixMillis::new(origin.last_media_at)),
            viewers: carried.viewers,
            warnings: Vec::new(),
            last_refusal: None,
        },
        provider: path.iter().rev().nth(1).copied(),
        standby: carried.standby,
        hops: (path.len() as u32).checked_sub(1),
        subscribers: stream.readers.count(ReaderKind::Link),
        kept,
        problem,
    }
}

fn state_here(stream: &Stream) -> StreamState {
    let stage = stream.feed.read(Feed::stage);
    match stream.origin() {
        _ if stage == Stage::KeptOut => StreamState::Paused,
        Some(origin) if !origin.has_publisher => StreamState::Grace,
        _ if stream.log.has_ended() => StreamState::Ended,
        _ if stream.is_carried() => StreamState::Live,
        _ => StreamState::Idle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::statement::statement;
    use crate::testing;
    use astral_media::frame::Media;
    use std::time::Duration;

    fn demo() -> Slug {
        "demo".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_kept_out_stays_so_until_it_is_taken_back_in() {
        let relay = testing::relay();
        keep_out(&relay, &demo()).unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(
            ensure_pulled(&relay, &demo())
                .err()
                .map(|problem| problem.code),
            Some(Code::Unavailable)
        );
        assert_eq!(hosted_streams(&relay)[0].stream.state, StreamState::Paused);
        take_back_in(&relay, &demo());
        assert!(ensure_pulled(&relay, &demo()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_kept_is_asked_for_until_it_is_let_go() {
        let relay = testing::relay();
        keep(&relay, &demo()).unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        let stream = relay.find(&demo()).unwrap();
        let is_pulled = |feed: &Feed| feed.tickets().is_some() && feed.is_kept();
        assert!(stream.feed.read(is_pulled), "although nobody watches");
        let_go(&relay, &demo()).unwrap();
        assert_eq!(stream.feed.read(Feed::stage), Stage::Idle);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(
            let_go(&relay, &demo()).map_err(|problem| problem.code),
            Err(Code::NotFound)
        );
    }

    #[tokio::test]
    async fn a_stream_published_here_is_neither_let_go_nor_kept_out() {
        let relay = testing::relay();
        let stream = testing::publish(&relay, &demo());
        for refused in [let_go(&relay, &demo()), keep_out(&relay, &demo())] {
            assert_eq!(refused.map_err(|problem| problem.code), Err(Code::Conflict));
        }
        assert!(stream.origin().is_some());
    }

    #[tokio::test]
    async fn a_limit_that_changes_is_stated_and_decides_at_once() {
        let relay = testing::relay();
        let stream = relay.streams().find_or_add(&demo()).unwrap();
        let frames = (0..5).map(|number| Media::Frame(testing::frame(0, number)));
        stream
            .log
            .append(
                [Media::Start(testing::gop_start(0))]
                    .into_iter()
                    .chain(frames),
            )
            .unwrap();
        assert!(relay.has_room_for_link(&stream, false));
        relay.set_limit_kbps(stream.log.kbps() - 1);
        assert!(!relay.has_room_for_link(&stream, false));
        assert_eq!(
            statement(&relay).limit_kbps,
            Kbps::new(stream.log.kbps() - 1)
        );
    }
}
