//! One RTMP connection: a publisher that feeds a stream, or a player that watches one.

use crate::egress::{Form, Latency, admit, show};
use crate::http::{HttpError, WRITE_WAIT};
use crate::observe;
use crate::origin::Publish;
use crate::relay::Relay;
use crate::stream::ReaderKind;
use astral_media::codec::{CodecError, aac, avc};
use astral_media::flv::{AudioMessage, FlvError, VideoMessage, parse_audio, parse_video};
use astral_media::rtmp::{Event, ServerSession, SessionError, StatusLevel, StreamRequest};
use astral_media::timeline::Input;
use astral_proto::{Code, Problem, Slug};
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// A peer that has not said what it wants by then is closed.
const OPENING_WAIT: Duration = Duration::from_secs(10);
/// A publisher silent for this long is closed; its stream is taken over by the next one long before.
const PUBLISHER_WAIT: Duration = Duration::from_secs(30);
/// What is read from a peer at once, in bytes.
const READ_BYTES: usize = 64 << 10;
/// The application of every URL.
const APP: &str = "live";

/// Why an RTMP connection ended early.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The peer breaks the protocol.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A message is not what its type says, or of a codec that is not taken.
    #[error(transparent)]
    Flv(#[from] FlvError),
    /// A codec configuration cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The peer takes or sends nothing.
    #[error(transparent)]
    Socket(#[from] HttpError),
    /// The peer was refused.
    #[error("refused: {0}")]
    Refused(Problem),
}

impl IngestError {
    /// A short name for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            IngestError::Session(error) => error.reason(),
            IngestError::Flv(_) => "flv",
            IngestError::Codec(_) => "codec",
            IngestError::Socket(error) => error.reason(),
            IngestError::Refused(problem) => problem.code.as_str(),
        }
    }

    /// Whether the peer simply went away.
    pub fn is_departure(&self) -> bool {
        matches!(self, IngestError::Socket(error) if error.is_departure())
    }
}

impl From<std::io::Error> for IngestError {
    fn from(error: std::io::Error) -> Self {
        IngestError::Socket(error.into())
    }
}

/// Serves one RTMP connection until it ends.
///
/// # Errors
/// [`IngestError`]; it ends this connection and nothing else.
pub async fn serve<S>(relay: &Relay, socket: S) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut peer = Peer { socket, session: ServerSession::new(), buffer: BytesMut::new() };
    loop {
        let asked = timeout(OPENING_WAIT, peer.next_event()).await;
        match asked.map_err(|_| HttpError::Slow(OPENING_WAIT))?? {
            None => return Ok(()),
            Some(Event::Publish(request)) => publish(relay, &mut peer, request).await?,
            Some(Event::Play(request)) => return play(relay, &mut peer, request).await,
            Some(_) => {}
        }
    }
}

struct Peer<S> {
    socket: S,
    session: ServerSession,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Peer<S> {
    /// The next event; none when the peer is done.
    async fn next_event(&mut self) -> Result<Option<Event>, IngestError> {
        loop {
            let event = self.session.receive(&mut self.buffer)?;
            self.flush().await?;
            if event.is_some() || !self.fill().await? {
                return Ok(event);
            }
        }
    }

    async fn fill(&mut self) -> Result<bool, IngestError> {
        self.buffer.reserve(READ_BYTES);
        Ok(self.socket.read_buf(&mut self.buffer).await? > 0)
    }

    async fn flush(&mut self) -> Result<(), IngestError> {
        let output = self.session.take_output();
        if !output.is_empty() {
            let wrote = timeout(WRITE_WAIT, self.socket.write_all(&output)).await;
            wrote.map_err(|_| HttpError::Slow(WRITE_WAIT))??;
        }
        Ok(())
    }

    /// Every event of the publish that has arrived, up to its end; false when the peer is done. Reads once if there
    /// is none yet.
    async fn next_events(&mut self, events: &mut Vec<Event>) -> Result<bool, IngestError> {
        // What stands behind an unpublish may be the next publish, which wants its own answer.
        while events.last() != Some(&Event::Unpublish)
            && let Some(event) = self.session.receive(&mut self.buffer)?
        {
            events.push(event);
        }
        self.flush().await?;
        if !events.is_empty() {
            return Ok(true);
        }
        let filled = timeout(PUBLISHER_WAIT, self.fill()).await;
        filled.map_err(|_| HttpError::Slow(PUBLISHER_WAIT))?
    }
}

fn named(request: &StreamRequest) -> Result<Slug, Problem> {
    if request.app != APP {
        let detail = format!("there is no application {:?}, only {APP:?}", request.app);
        return Err(Problem::new(Code::NotFound, detail));
    }
    request.name.parse()
}

/// Takes a publish until it ends; the connection may then publish again.
async fn publish<S>(relay: &Relay, peer: &mut Peer<S>, request: StreamRequest) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let key = request.parameter("key").map(str::to_owned);
    let slug = named(&request);
    let beginning = async { Publish::begin(relay, slug.as_ref().map_err(Clone::clone)?, key).await };
    let begun = observe::rtmp(relay, "publish", slug.as_ref().ok(), beginning).await;
    let mut publish = match begun {
        Ok(publish) => publish,
        Err(problem) => {
            let code = match problem.code {
                Code::Conflict => "NetStream.Publish.BadName",
                Code::Unauthenticated | Code::Forbidden => "NetStream.Publish.Unauthorized",
                _ => "NetStream.Publish.Failed",
            };
            peer.session.reject_publish(code, &problem.detail);
            peer.flush().await?;
            return Err(IngestError::Refused(problem));
        }
    };
    peer.session.accept_publish();
    let outcome = take_media(peer, &mut publish).await;
    publish.finish().await;
    outcome
}

async fn take_media<S>(peer: &mut Peer<S>, publish: &mut Publish) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let taken = publish.taken();
    let mut events = Vec::new();
    let mut told = false;
    loop {
        let more = tokio::select! {
            biased;
            () = taken.cancelled() => return tell_taken(peer).await,
            more = peer.next_events(&mut events) => more?,
        };
        let unpublished = events.iter().any(|event| matches!(event, Event::Unpublish));
        let inputs = inputs(&mut events);
        let (inputs, refused) = match inputs {
            Ok(inputs) => (inputs, None),
            Err((inputs, error)) => (inputs, Some(error)),
        };
        if !publish.push(inputs) {
            return tell_taken(peer).await;
        }
        if let Some(error) = refused {
            peer.session.send_status(StatusLevel::Error, "NetStream.Publish.Failed", &error.to_string());
            peer.flush().await?;
            return Err(error);
        }
        if publish.take_cut_long_gop() && !told {
            told = true;
            let advice = "keyframes are too far apart: set the keyframe interval to 2 seconds";
            peer.session.send_status(StatusLevel::Warning, "NetStream.Publish.InsufficientKeyframes", advice);
        }
        if unpublished || !more {
            return Ok(());
        }
    }
}

async fn tell_taken<S>(peer: &mut Peer<S>) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let problem = Problem::new(
        Code::Conflict,
        "another publisher has taken the stream over, or its owner has paused or deleted it",
    );
    peer.session.send_status(StatusLevel::Error, "NetStream.Publish.BadName", &problem.detail);
    peer.flush().await?;
    Err(IngestError::Refused(problem))
}

type Refused = (Vec<Input>, IngestError);

/// What the events bring, up to the first that cannot be taken.
fn inputs(events: &mut Vec<Event>) -> Result<Vec<Input>, Refused> {
    let mut inputs = Vec::with_capacity(events.len());
    for event in events.drain(..) {
        match input(event) {
            Ok(input) => inputs.extend(input),
            Err(error) => return Err((inputs, error)),
        }
    }
    Ok(inputs)
}

fn input(event: Event) -> Result<Option<Input>, IngestError> {
    Ok(match event {
        Event::Metadata(metadata) => {
            Some(Input::Expect { video: metadata.expects_video, audio: metadata.expects_audio })
        }
        Event::Video { timestamp, body } => match parse_video(body)? {
            VideoMessage::Config(config) => Some(Input::VideoParameters(avc::parse(&config)?)),
            VideoMessage::Frame { keyframe, cts_ms, payload } => {
                Some(Input::Video { timestamp_ms: timestamp, cts_ms, keyframe, payload })
            }
            VideoMessage::EndOfSequence | VideoMessage::Nothing => None,
        },
        Event::Audio { timestamp, body } => match parse_audio(body)? {
            AudioMessage::Config(config) => Some(Input::AudioParameters(aac::parse(&config)?)),
            AudioMessage::Frame(payload) => Some(Input::Audio { timestamp_ms: timestamp, payload }),
            AudioMessage::Nothing => None,
        },
        Event::Publish(_) | Event::Play(_) | Event::Unpublish | Event::StopPlay => None,
    })
}

async fn play<S>(relay: &Relay, peer: &mut Peer<S>, request: StreamRequest) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let slug = named(&request);
    let admitting = async { admit(relay, slug.as_ref().map_err(Clone::clone)?).await };
    let admitted = observe::rtmp(relay, "play", slug.as_ref().ok(), admitting).await;
    let stream = match admitted {
        Ok(stream) => stream,
        Err(problem) => {
            peer.session.reject_play("NetStream.Play.StreamNotFound", &problem.detail);
            peer.flush().await?;
            return Err(IngestError::Refused(problem));
        }
    };
    peer.session.accept_play();
    peer.flush().await?;
    let _counted = stream.count_reader(ReaderKind::Rtmp);
    let (mut reader, mut writer) = tokio::io::split(&mut peer.socket);
    let ended = tokio::select! {
        outcome = show(relay, &stream, Form::Rtmp, Latency::Low, &mut writer) => outcome.map(|()| true)?,
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
