//! One RTMP connection: a publisher that feeds a stream, or a player that watches one.

use super::viewer::{Form, Latency, admit, show};
use crate::core::{ReaderGuard, ReaderKind, Relay};
use crate::feed::publish;
use crate::http::HttpError;
use crate::observe;
use crate::rtmp::{Peer, Purpose, RtmpError};
use astral_media::rtmp::{Event, ServerSession, StreamRequest};
use astral_proto::Slug;
use astral_proto::message::{NoticeKind, PublisherNotice};
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

/// A peer that has not said what it wants after this long is disconnected.
const OPENING_WAIT: Duration = Duration::from_secs(10);

/// Serves one RTMP connection until it ends.
///
/// # Errors
/// [`RtmpError`]; it ends this connection and nothing else.
pub async fn serve<S>(relay: &Relay, socket: S) -> Result<(), RtmpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut peer = Peer::new(socket);
    let outcome = converse(relay, &mut peer).await;
    if let Err(error) = &outcome {
        refuse(relay, &mut peer, error).await;
    }
    outcome
}

async fn converse<S>(relay: &Relay, peer: &mut Peer<S>) -> Result<(), RtmpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    loop {
        let asked = timeout(OPENING_WAIT, peer.next_event()).await;
        match asked.map_err(|_| HttpError::Slow(OPENING_WAIT))?? {
            None => return Ok(()),
            Some(Event::Publish(request)) => publish(relay, peer, request).await?,
            Some(Event::Play(request)) => return play(relay, peer, request).await,
            Some(_) => {}
        }
    }
}

/// Refuses a peer: tells it why, notes it in the log and the next heartbeats, and closes the
/// connection.
async fn refuse<S>(relay: &Relay, peer: &mut Peer<S>, error: &RtmpError)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    if error.is_departure() {
        return;
    }
    peer.refuse(error).await;
    if peer.purpose != Some(Purpose::Play) {
        note_refusal(relay, peer, error);
    }
    // A peer that sends nothing leaves nothing unread.
    let is_silent = matches!(error, RtmpError::Silent(_) | RtmpError::Socket(_));
    if !is_silent {
        peer.close_after_linger().await;
    }
}

fn note_refusal<S>(relay: &Relay, peer: &Peer<S>, error: &RtmpError) {
    let reason = error.reason();
    let detail = error.description();
    observe::publisher_refused(
        relay.node(),
        relay.refusals(),
        &peer.stream,
        reason,
        &detail,
    );
    if let Ok(slug) = peer.stream.parse() {
        relay.notices().add(PublisherNotice {
            slug,
            epoch: peer.epoch,
            kind: NoticeKind::Refused,
            reason: reason.to_owned(),
            detail,
            age_ms: 0,
        });
    }
}

async fn play<S>(relay: &Relay, peer: &mut Peer<S>, request: StreamRequest) -> Result<(), RtmpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    peer.purpose = Some(Purpose::Play);
    let slug = request.name.parse::<Slug>();
    let admitting = async { admit(relay, slug.as_ref().map_err(Clone::clone)?).await };
    let admitted = observe::rtmp_command(relay.node(), "play", slug.as_ref().ok(), admitting).await;
    let stream = admitted.map_err(RtmpError::Refused)?;
    peer.session.accept_play();
    peer.flush().await?;
    peer.has_no_status = true;
    let viewer = ReaderGuard::new(&stream, ReaderKind::Rtmp);
    let (mut reader, mut writer) = tokio::io::split(&mut peer.socket);
    let ended = tokio::select! {
        biased;
        outcome = show(relay, &viewer, Form::Rtmp, Latency::Low, &mut writer) => outcome.map(|()| true)?,
        left = until_it_leaves(&mut reader, &mut peer.session, &mut peer.buffer) => left.map(|()| false)?,
    };
    if ended {
        peer.session.end_play();
        peer.flush().await?;
    }
    Ok(())
}

/// Reads what a player sends, acknowledgements mostly, until it stops playing.
async fn until_it_leaves<R: AsyncRead + Unpin>(
    reader: &mut R,
    session: &mut ServerSession,
    buffer: &mut BytesMut,
) -> Result<(), RtmpError> {
    loop {
        while let Some(event) = session.receive(buffer)? {
            if event == Event::StopPlay {
                return Ok(());
            }
        }
        // Answers cannot be sent between the media that is being written. Kept, they would pile up.
        drop(session.take_output());
        buffer.reserve(1024);
        if reader.read_buf(buffer).await? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
