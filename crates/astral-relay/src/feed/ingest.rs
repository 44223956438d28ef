//! Taking a publish in: the media of an RTMP publisher, from its grant until it stops.

use super::origin::Publish;
use crate::core::Relay;
use crate::observe;
use crate::rtmp::{Peer, Purpose, RtmpError};
use astral_media::publish::{PublishReader, Warning};
use astral_media::rtmp::{Event, StatusLevel, StreamRequest};
use astral_media::timeline::Input;
use astral_proto::message::FenceReason;
use astral_proto::{Code, Problem, Secret, Slug};
use tokio::io::{AsyncRead, AsyncWrite};

/// The name of the stream as it may be shown: short, and without control characters.
fn shown(request: &StreamRequest) -> String {
    request
        .name
        .chars()
        .take(Slug::MAX_BYTES)
        .flat_map(char::escape_debug)
        .collect()
}

/// Takes a publish until it ends; the connection may then publish again.
pub async fn publish<S>(
    relay: &Relay,
    peer: &mut Peer<S>,
    request: StreamRequest,
) -> Result<(), RtmpError>
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
    let begun = observe::rtmp_command(relay.node(), "publish", slug.as_ref().ok(), beginning).await;
    let mut publish = begun.map_err(RtmpError::Refused)?;
    peer.session.accept_publish();
    peer.epoch = publish.epoch();
    let outcome = take_media(peer, &mut publish).await;
    if let Err(error) = &outcome {
        peer.refuse(error).await;
    }
    publish.finish().await;
    outcome
}

async fn take_media<S>(peer: &mut Peer<S>, publish: &mut Publish) -> Result<(), RtmpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let token = publish.token().clone();
    let mut reader = PublishReader::new();
    let mut events = Vec::new();
    loop {
        let more = tokio::select! {
            biased;
            () = token.revoked().cancelled() => return Err(taken_over(token.reason())),
            more = peer.next_events(&mut events) => more?,
        };
        let unpublished = events.iter().any(|event| matches!(event, Event::Unpublish));
        let (inputs, refused) = inputs(&mut reader, &mut events);
        if !publish.push(inputs) {
            return Err(taken_over(token.reason()));
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

/// What a publisher is told that is cut off.
fn taken_over(why: FenceReason) -> RtmpError {
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
    RtmpError::Refused(Problem::new(code, detail))
}

/// The inputs of `events` up to the first one that is refused, and why it is refused.
fn inputs(reader: &mut PublishReader, events: &mut Vec<Event>) -> (Vec<Input>, Option<RtmpError>) {
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
) -> Result<(), RtmpError> {
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
