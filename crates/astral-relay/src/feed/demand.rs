//! Making sure that a stream is fed, for whoever wants to read it.

use super::pull;
use crate::core::{Feed, Relay, Stage, Stream, kept_out};
use astral_proto::message::FenceReason;
use astral_proto::{Code, Problem, Slug};
use std::sync::Arc;
use std::time::Duration;

/// A viewer waits this long for a stream that is not here yet.
pub const STREAM_WAIT: Duration = Duration::from_secs(5);

/// The stream. Starts to pull it if nobody feeds it.
///
/// # Errors
/// `unavailable` when the relay leaves, when its host keeps the stream out, or when it has too many
/// streams.
pub fn ensure_pulled(relay: &Relay, slug: &Slug) -> Result<Arc<Stream>, Problem> {
    if relay.departure().has_begun() {
        return Err(Problem::new(Code::Unavailable, "this relay is leaving"));
    }
    let stream = relay.streams().find_or_add(slug)?;
    stream.touch();
    let started = stream.feed.update(|feed| feed.start_pull(slug))?;
    if let Some(started) = started {
        // What an earlier pull left is stale. The end of a stream is shown again if nothing new
        // comes.
        stream.log.start_over();
        pull::spawn(relay, stream.clone(), started);
    }
    Ok(stream)
}

/// As [`ensure_pulled`], and waits up to [`STREAM_WAIT`] until viewers can start.
///
/// # Errors
/// What the control plane said (`not_found`, or `not_begun` while nobody publishes); if nothing
/// came in time, `full`, `control_plane_away` or `unavailable`, by what is missing; or as
/// [`ensure_pulled`].
pub async fn wait_until_flowing(relay: &Relay, slug: &Slug) -> Result<Arc<Stream>, Problem> {
    let stream = ensure_pulled(relay, slug)?;
    let mut feed = stream.feed.subscribe();
    let is_decided = |feed: &Feed| !matches!(feed.stage(), Stage::Idle | Stage::Starting);
    let waited = tokio::time::timeout(STREAM_WAIT, feed.wait_for(is_decided)).await;
    let decided = waited.ok().and_then(Result::ok).map(|feed| feed.clone());
    match decided {
        Some(Feed::KeptOut) => Err(kept_out(slug)),
        Some(Feed::Refused(problem) | Feed::Ended(problem))
            if stream.log.newest_entry().is_none() =>
        {
            Err(if problem.code == Code::Gone {
                stream.has_ended_problem()
            } else {
                problem
            })
        }
        Some(_) => Ok(stream),
        None if stream.log.has_ended() => Ok(stream),
        None => Err(stream.why_nothing()),
    }
}

/// Gives up the publish of `slug` at this relay, if its epoch is lower than `epoch`, and pulls the
/// stream instead: its viewers here go on with the publisher that took over. The publisher here is
/// told `reason`.
pub fn give_way(relay: &Relay, slug: &Slug, epoch: u64, reason: FenceReason) {
    let Some(stream) = relay.find(slug) else {
        return;
    };
    let has_ended = stream.log.has_ended();
    let started = stream
        .feed
        .update(|feed| feed.fence(epoch, reason, has_ended));
    let Some(started) = started else {
        return;
    };
    tracing::info!(stream.slug = %slug, stream.epoch = epoch, ?reason, "this relay is origin no longer");
    if has_ended {
        stream.log.start_over();
    } else {
        // The next epoch starts with a GOP of its own, so this one gets the end that its timeline
        // announced.
        stream.log.end_open_gop();
    }
    stream.touch();
    pull::spawn(relay, stream, started);
}
