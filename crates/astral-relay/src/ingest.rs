//! One RTMP connection: a publisher that feeds a stream, or a player that watches one.

mod error;
mod peer;

use crate::egress::{Form, Latency, admit, show};
use crate::http::HttpError;
use crate::observe;
use crate::origin::Publish;
use crate::relay::Relay;
use crate::stream::ReaderKind;
use astral_media::publish::{PublishReader, Warning};
use astral_media::rtmp::{Event, ServerSession, StatusLevel, StreamRequest};
use astral_media::timeline::Input;
use astral_proto::message::{FenceReason, NoticeKind};
use astral_proto::{Code, Problem, Secret, Slug};
use bytes::BytesMut;
pub use error::IngestError;
use peer::{Peer, Purpose};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

/// A peer that has not said what it wants by then is closed.
const OPENING_WAIT: Duration = Duration::from_secs(10);

/// Serves one RTMP connection until it ends.
///
/// # Errors
/// [`IngestError`]; it ends this connection and nothing else.
pub async fn serve<S>(relay: &Relay, socket: S) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut peer = Peer::new(socket);
    let outcome = converse(relay, &mut peer).await;
    if let Err(error) = &outcome {
        part(relay, &mut peer, error).await;
    }
    outcome
}

async fn converse<S>(relay: &Relay, peer: &mut Peer<S>) -> Result<(), IngestError>
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

/// Parts from a peer that is refused: says why, to it and to whoever reads the log.
async fn part<S>(relay: &Relay, peer: &mut Peer<S>, error: &IngestError)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    if error.is_departure() {
        return;
    }
    peer.tell(error).await;
    if peer.purpose != Some(Purpose::Play) {
        note_refusal(relay, peer, error);
    }
    // Who sends nothing leaves nothing unread.
    let is_silent = matches!(error, IngestError::Silent(_) | IngestError::Socket(_));
    if !is_silent {
        peer.say_farewell().await;
    }
}

/// Notes a refusal where whoever runs the encoder or the relay looks.
fn note_refusal<S>(relay: &Relay, peer: &Peer<S>, error: &IngestError) {
    observe::publisher_refused(relay, &peer.stream, error);
    if let Ok(slug) = peer.stream.parse() {
        relay.note_publisher(
            &slug,
            peer.epoch,
            NoticeKind::Refused,
            error.reason(),
            &error.description(),
        );
    }
}

/// The stream's name as it may be shown: nothing that could be more than a name.
fn shown(request: &StreamRequest) -> String {
    request
        .name
        .chars()
        .take(Slug::MAX_BYTES)
        .flat_map(char::escape_debug)
        .collect()
}

/// Takes a publish until it ends; the connection may then publish again.
async fn publish<S>(
    relay: &Relay,
    peer: &mut Peer<S>,
    request: StreamRequest,
) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    peer.purpose = Some(Purpose::Publish);
    peer.stream = shown(&request);
    peer.epoch = 0;
    let key = request.parameter("key").map(Secret::from);
    let slug = request.name.parse::<Slug>();
    let beginning =
        async { Publish::begin(relay, slug.as_ref().map_err(Clone::clone)?, key).await };
    let begun = observe::rtmp(relay, "publish", slug.as_ref().ok(), beginning).await;
    let mut publish = begun.map_err(IngestError::Refused)?;
    peer.session.accept_publish();
    peer.epoch = publish.epoch();
    let outcome = take_media(peer, &mut publish).await;
    if let Err(error) = &outcome {
        peer.tell(error).await;
    }
    publish.finish().await;
    outcome
}

async fn take_media<S>(peer: &mut Peer<S>, publish: &mut Publish) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let taken = publish.taken();
    let mut reader = PublishReader::new();
    let mut events = Vec::new();
    loop {
        let more = tokio::select! {
            biased;
            () = taken.cancelled() => return Err(taken_over(publish.why_taken())),
            more = peer.next_events(&mut events) => more?,
        };
        let unpublished = events.iter().any(|event| matches!(event, Event::Unpublish));
        let (inputs, refused) = inputs(&mut reader, &mut events);
        if !publish.push(inputs) {
            return Err(taken_over(publish.why_taken()));
        }
        if publish.take_cut_long_gop() {
            reader.warn(Warning::LongGop);
        }
        for warning in reader.take_warnings() {
            publish.warn(&warning);
            let text = warning.to_string();
            peer.session
                .send_status(StatusLevel::Warning, warning.status_code(), &text);
        }
        if let Some(error) = refused {
            return Err(error);
        }
        if unpublished || !more {
            return Ok(());
        }
    }
}

/// What a publisher hears that is cut off.
fn taken_over(why: FenceReason) -> IngestError {
    let (code, detail) = match why {
        FenceReason::TakenOver => (
            Code::Conflict,
            "another publisher has taken the stream over",
        ),
        FenceReason::Paused => (Code::Forbidden, "the owner of the stream has paused it"),
        FenceReason::Deleted => (Code::Forbidden, "the owner of the stream has deleted it"),
        FenceReason::KeyChanged => (
            Code::Unauthenticated,
            "the publish key of the stream was changed, publish with the new one",
        ),
        FenceReason::Unknown => (
            Code::Conflict,
            "another publisher has taken the stream over, or its owner has paused or deleted it",
        ),
    };
    IngestError::Refused(Problem::new(code, detail))
}

/// What the events bring, up to the first that is refused, and why it is.
fn inputs(
    reader: &mut PublishReader,
    events: &mut Vec<Event>,
) -> (Vec<Input>, Option<IngestError>) {
    let mut inputs = Vec::with_capacity(events.len());
    for event in events.drain(..) {
        if let Err(error) = take(reader, event, &mut inputs) {
            return (inputs, Some(error));
        }
    }
    (inputs, None)
}

fn take(
    reader: &mut PublishReader,
    event: Event,
    inputs: &mut Vec<Input>,
) -> Result<(), IngestError> {
    match event {
        Event::Metadata(metadata) => {
            inputs.extend(reader.metadata(&metadata).into_iter().flatten())
        }
        Event::Data { body } => inputs.extend(reader.data(body)),
        Event::Video { timestamp, body } => inputs.extend(reader.video(timestamp, body)?),
        Event::Audio { timestamp, body } => inputs.extend(reader.audio(timestamp, body)?),
        Event::Publish(_) | Event::Play(_) | Event::Unpublish | Event::StopPlay => {}
    }
    Ok(())
}

async fn play<S>(
    relay: &Relay,
    peer: &mut Peer<S>,
    request: StreamRequest,
) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    peer.purpose = Some(Purpose::Play);
    let slug = request.name.parse::<Slug>();
    let admitting = async { admit(relay, slug.as_ref().map_err(Clone::clone)?).await };
    let admitted = observe::rtmp(relay, "play", slug.as_ref().ok(), admitting).await;
    let stream = admitted.map_err(IngestError::Refused)?;
    peer.session.accept_play();
    peer.flush().await?;
    peer.is_past_telling = true;
    let viewer = stream.count_reader(ReaderKind::Rtmp);
    let (mut reader, mut writer) = tokio::io::split(&mut peer.socket);
    let ended = tokio::select! {
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
) -> Result<(), IngestError> {
    loop {
        while let Some(event) = session.receive(buffer)? {
            if event == Event::StopPlay {
                return Ok(());
            }
        }
        // Answers have no place between the media that is being written; left there they would pile up.
        drop(session.take_output());
        buffer.reserve(1024);
        if reader.read_buf(buffer).await? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
