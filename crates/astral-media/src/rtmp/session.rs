//! The server side of one connection, from the handshake to the last message.

mod acknowledgement;
mod command;
mod metadata;
mod reply;
mod request;

pub use metadata::StreamMetadata;
pub use reply::StatusLevel;
pub use request::{ADDRESS_BYTES_MAX, StreamRequest};

use super::SessionError;
use super::chunk::{ChunkReader, Message, STREAM_ID};
use super::handshake::Handshake;
use super::message::{self, Aggregate, control_field};
use acknowledgement::Acknowledgement;
use bytes::{Bytes, BytesMut};
use command::Command;
use request::Connection;

/// Longest command message, in bytes.
pub const COMMAND_BYTES_MAX: usize = 64 << 10;
/// Longest metadata that is read, in bytes. Longer metadata is ignored.
pub const METADATA_BYTES_MAX: usize = 256 << 10;
/// Most `createStream` commands on one connection.
pub const CREATE_STREAM_MAX: usize = 16;
/// The transaction of every connect (RTMP 1.0, 7.2.1.1).
const CONNECT_TRANSACTION: f64 = 1.0;
/// Most bytes that may wait for [`ServerSession::take_output`].
pub const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// What a peer wants or sends.
#[derive(Clone, PartialEq)]
pub enum Event {
    /// It wants to publish. Answer with [`ServerSession::accept_publish`] or
    /// [`ServerSession::reject_publish`].
    Publish(StreamRequest),
    /// It wants to play. Answer with [`ServerSession::accept_play`] or
    /// [`ServerSession::reject_play`].
    Play(StreamRequest),
    /// It describes what it publishes.
    Metadata(StreamMetadata),
    /// It sends a data message, such as `onTextData` or `onCuePoint`.
    Data {
        /// AMF0 values, of which the first is a name. A body longer than [`METADATA_BYTES_MAX`] is
        /// not parsed.
        body: Bytes,
    },
    /// It publishes video.
    Video {
        /// Milliseconds, modulo 2³².
        timestamp: u32,
        /// The body of an FLV video tag.
        body: Bytes,
    },
    /// It publishes audio.
    Audio {
        /// Milliseconds, modulo 2³².
        timestamp: u32,
        /// The body of an FLV audio tag.
        body: Bytes,
    },
    /// It stops publishing.
    Unpublish,
    /// It stops playing.
    StopPlay,
}

impl std::fmt::Debug for Event {
    /// Media is printed by its length, not its bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Publish(request) => write!(f, "Publish({request:?})"),
            Self::Play(request) => write!(f, "Play({request:?})"),
            Self::Metadata(metadata) => write!(f, "Metadata({metadata:?})"),
            Self::Data { body } => write!(f, "Data({} bytes)", body.len()),
            Self::Video { timestamp, body } => {
                write!(f, "Video({timestamp} ms, {} bytes)", body.len())
            }
            Self::Audio { timestamp, body } => {
                write!(f, "Audio({timestamp} ms, {} bytes)", body.len())
            }
            Self::Unpublish => f.write_str("Unpublish"),
            Self::StopPlay => f.write_str("StopPlay"),
        }
    }
}

/// What a connection is used for. It can have one publish or one play at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Idle,
    PublishAsked,
    Publishing,
    PlayAsked,
    Playing,
}

/// One connection: bytes come in; events and bytes go out. The first error ends it.
pub struct ServerSession {
    handshake: Handshake,
    chunks: ChunkReader,
    aggregate: Option<Aggregate>,
    acknowledgement: Acknowledgement,
    connection: Option<Connection>,
    streams_created: usize,
    role: Role,
    output: BytesMut,
}

impl Default for ServerSession {
    fn default() -> Self {
        Self {
            handshake: Handshake::Hello,
            chunks: ChunkReader::for_commands(),
            aggregate: None,
            acknowledgement: Acknowledgement::default(),
            connection: None,
            streams_created: 0,
            role: Role::Idle,
            output: BytesMut::new(),
        }
    }
}

impl ServerSession {
    /// Creates a session at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next event from the front of `input`. Call it until it returns `None`. Then send
    /// [`take_output`](Self::take_output) and read more.
    ///
    /// While an [`Event::Publish`] or [`Event::Play`] has not been answered, nothing is read. Some
    /// encoders send media in that time, which stays in `input`; stop filling it until the answer
    /// is given. At other times less than 1,537 bytes stay there.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<Event>, SessionError> {
        let before = input.len();
        let event = self.advance(input);
        let consumed = before - input.len();
        if let Some(total) = self.acknowledgement.count(consumed) {
            self.put_control(message::ACKNOWLEDGEMENT, &total.to_be_bytes());
        }
        event
    }

    /// Returns the bytes to send to the peer, and forgets them.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Event>, SessionError> {
        if !self.handshake.advance(input, &mut self.output)? {
            return Ok(None);
        }
        while !matches!(self.role, Role::PublishAsked | Role::PlayAsked) {
            let Some(message) = self.next_message(input)? else {
                break;
            };
            if let Some(event) = self.handle(message)? {
                return Ok(Some(event));
            }
            self.check_output()?;
        }
        Ok(None)
    }

    fn check_output(&self) -> Result<(), SessionError> {
        let length = self.output.len();
        let limit = OUTPUT_BYTES_MAX;
        if length > limit {
            Err(SessionError::Output { length, limit })
        } else {
            Ok(())
        }
    }

    fn next_message(&mut self, input: &mut BytesMut) -> Result<Option<Message>, SessionError> {
        if let Some(aggregate) = &mut self.aggregate {
            if let Some(part) = aggregate.next()? {
                return Ok(Some(part));
            }
            self.aggregate = None;
        }
        Ok(self.chunks.read(input)?)
    }

    fn handle(&mut self, message: Message) -> Result<Option<Event>, SessionError> {
        match message.kind {
            message::USER_CONTROL => self.user_control(&message)?,
            message::WINDOW_SIZE => {
                self.acknowledgement
                    .set_window(u32::from_be_bytes(control_field(&message)?));
            }
            message::AUDIO | message::VIDEO => return self.media(message).map(Some),
            message::DATA_AMF0 | message::DATA_AMF3 => return Ok(self.data(&message)),
            message::COMMAND_AMF0 | message::COMMAND_AMF3 => {
                return self.command(Command::decode(&message)?);
            }
            // Parts are never split again, so a part that is itself an aggregate has no effect.
            message::AGGREGATE if self.aggregate.is_none() => {
                self.aggregate = Some(Aggregate::new(message))
            }
            _ => {}
        }
        Ok(None)
    }

    fn user_control(&mut self, message: &Message) -> Result<(), SessionError> {
        let kind = u16::from_be_bytes(control_field(message)?);
        if kind == message::PING_REQUEST {
            let [_, _, time @ ..] = control_field::<6>(message)?;
            self.put_user_control(message::PING_RESPONSE, time);
        }
        Ok(())
    }

    fn media(&self, message: Message) -> Result<Event, SessionError> {
        if self.role != Role::Publishing {
            return Err(SessionError::MediaBeforePublish(message.kind));
        }
        let Message {
            kind,
            timestamp,
            body,
            ..
        } = message;
        Ok(match kind {
            message::VIDEO => Event::Video { timestamp, body },
            _ => Event::Audio { timestamp, body },
        })
    }

    /// Data is only advice, so data that cannot be parsed is ignored.
    fn data(&self, message: &Message) -> Option<Event> {
        if self.role != Role::Publishing {
            return None;
        }
        let amf0 = match message.kind {
            message::DATA_AMF3 if message.body.first() == Some(&0) => message.body.slice(1..),
            message::DATA_AMF3 => return None,
            _ => message.body.clone(),
        };
        metadata::read(amf0)
    }

    /// Ends the publish or play, if there is one.
    fn leave(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.role, Role::Idle) {
            Role::Publishing => Some(Event::Unpublish),
            Role::Playing => Some(Event::StopPlay),
            Role::Idle | Role::PublishAsked | Role::PlayAsked => None,
        }
    }

    fn answer(&mut self, asked: Role, now: Role) {
        assert!(
            self.role == asked,
            "an answer without a question: {asked:?} in {:?}",
            self.role
        );
        self.role = now;
    }

    /// Accepts the publish.
    ///
    /// # Panics
    /// If there is no unanswered [`Event::Publish`].
    pub fn accept_publish(&mut self) {
        self.answer(Role::PublishAsked, Role::Publishing);
        self.chunks.accept_media();
        self.put_user_control(message::STREAM_BEGIN, STREAM_ID.to_be_bytes());
        self.send_status(StatusLevel::Status, "NetStream.Publish.Start", "publishing");
    }

    /// Refuses the publish with a code such as `NetStream.Publish.BadName`. Close the connection
    /// once the output is sent.
    ///
    /// # Panics
    /// If there is no unanswered [`Event::Publish`].
    pub fn reject_publish(&mut self, code: &str, description: &str) {
        self.answer(Role::PublishAsked, Role::Idle);
        self.send_status(StatusLevel::Error, code, description);
    }

    /// Tells the peer why its connection is closed, so that an encoder can show it. Close the
    /// connection once the output is sent. A peer that has not completed the handshake would not
    /// understand it, and is told nothing.
    pub fn refuse(&mut self, code: &str, description: &str) {
        if self.handshake != Handshake::Done {
            return;
        }
        self.role = Role::Idle;
        match self.connection {
            Some(_) => self.send_status(StatusLevel::Error, code, description),
            None => self.put_error(
                CONNECT_TRANSACTION,
                "NetConnection.Connect.Rejected",
                description,
            ),
        }
    }

    /// Accepts the play. From now on, send what [`write_message`](super::write_message) makes.
    ///
    /// # Panics
    /// If there is no unanswered [`Event::Play`].
    pub fn accept_play(&mut self) {
        self.answer(Role::PlayAsked, Role::Playing);
        self.put_user_control(message::STREAM_BEGIN, STREAM_ID.to_be_bytes());
        self.send_status(StatusLevel::Status, "NetStream.Play.Reset", "resetting");
        self.send_status(StatusLevel::Status, "NetStream.Play.Start", "playing");
        self.put_sample_access();
        self.put_data_start();
    }

    /// Refuses the play with a code such as `NetStream.Play.StreamNotFound`. Close the connection
    /// once the output is sent.
    ///
    /// # Panics
    /// If there is no unanswered [`Event::Play`].
    pub fn reject_play(&mut self, code: &str, description: &str) {
        self.answer(Role::PlayAsked, Role::Idle);
        self.send_status(StatusLevel::Error, code, description);
    }

    /// Tells a player that the stream has ended. Close the connection once the output is sent.
    pub fn end_play(&mut self) {
        self.role = Role::Idle;
        self.put_user_control(message::STREAM_EOF, STREAM_ID.to_be_bytes());
        self.send_status(
            StatusLevel::Status,
            "NetStream.Play.UnpublishNotify",
            "unpublished",
        );
        self.send_status(StatusLevel::Status, "NetStream.Play.Stop", "stopped");
    }
}

#[cfg(test)]
mod tests;
