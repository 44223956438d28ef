//! The commands of a peer: those of RTMP 1.0 (7.2), and those of Flash that encoders still send.

use super::request::Connection;
use super::{COMMAND_BYTES_MAX, CREATE_STREAM_MAX, Event, Role, ServerSession, StatusLevel};
use crate::rtmp::SessionError;
use crate::rtmp::amf0::{self, Value};
use crate::rtmp::chunk::{Message, STREAM_ID};
use crate::rtmp::message::COMMAND_AMF3;

/// How many characters of an unexpected command an error shows.
const SHOWN_CHARACTERS_MAX: usize = 32;

/// A command. It has no Debug, because it may contain a publish key.
pub(super) struct Command {
    name: String,
    /// Transaction id; 0 if the peer wants no answer.
    transaction: f64,
    /// The command object and the arguments.
    arguments: Vec<Value>,
}

impl Command {
    /// Parses a command message of AMF0 or AMF3.
    pub(super) fn decode(message: &Message) -> Result<Self, SessionError> {
        let length = message.body.len();
        let limit = COMMAND_BYTES_MAX;
        if length > limit {
            return Err(SessionError::CommandLength { length, limit });
        }
        let amf0 = match message.kind {
            COMMAND_AMF3 => message.body.strip_prefix(&[0]).ok_or(SessionError::Amf3)?,
            _ => &message.body,
        };
        let mut values = amf0::decode(amf0)?.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Err(SessionError::CommandName);
        };
        let transaction = values
            .next()
            .and_then(|value| value.as_number())
            .unwrap_or(0.0);
        Ok(Self {
            name,
            transaction,
            arguments: values.collect(),
        })
    }

    /// Returns the first argument after the command object.
    fn argument(&self) -> Option<&Value> {
        self.arguments.get(1)
    }
}

impl ServerSession {
    pub(super) fn command(&mut self, command: Command) -> Result<Option<Event>, SessionError> {
        if self.connection.is_none() && command.name != "connect" {
            let shown = command.name.chars().take(SHOWN_CHARACTERS_MAX).collect();
            return Err(SessionError::BeforeConnect(shown));
        }
        match command.name.as_str() {
            "connect" => self.connect(&command)?,
            "createStream" => self.create_stream(&command)?,
            "publish" => return self.ask("publish", &command, Role::PublishAsked, Event::Publish),
            "play" => return self.ask("play", &command, Role::PlayAsked, Event::Play),
            "pause" => self.pause(&command),
            "deleteStream" | "closeStream" => return Ok(self.leave()),
            "FCUnpublish" => return Ok(self.stop_publishing(&command)),
            "getStreamLength" => self.put_result(command.transaction, [Value::Null, 0.0.into()]),
            "releaseStream" | "FCPublish" | "_checkbw" => {
                self.put_result(command.transaction, [Value::Null, Value::Undefined]);
            }
            // These are answers to requests that the server does not send.
            "_result" | "_error" | "onStatus" => {}
            _ => self.put_error(
                command.transaction,
                "NetConnection.Call.Failed",
                "no such command",
            ),
        }
        Ok(None)
    }

    fn connect(&mut self, command: &Command) -> Result<(), SessionError> {
        if self.connection.is_some() {
            return Err(SessionError::SecondConnect);
        }
        self.connection = Some(Connection::new(command.arguments.first()));
        self.put_connected(command.transaction);
        Ok(())
    }

    /// All streams have the same id, so that the same bytes are valid for every player.
    fn create_stream(&mut self, command: &Command) -> Result<(), SessionError> {
        if self.streams_created == CREATE_STREAM_MAX {
            return Err(SessionError::Streams(CREATE_STREAM_MAX));
        }
        self.streams_created += 1;
        self.put_result(
            command.transaction,
            [Value::Null, f64::from(STREAM_ID).into()],
        );
        Ok(())
    }

    fn ask(
        &mut self,
        name: &'static str,
        command: &Command,
        asked: Role,
        event: fn(super::StreamRequest) -> Event,
    ) -> Result<Option<Event>, SessionError> {
        if self.role != Role::Idle {
            return Err(SessionError::Busy(name));
        }
        let given = command
            .argument()
            .and_then(Value::as_str)
            .ok_or(SessionError::StreamName(name))?;
        let connection = self
            .connection
            .as_ref()
            .ok_or_else(|| SessionError::BeforeConnect(name.to_owned()))?;
        let request = connection.request(given)?;
        if request.name.is_empty() {
            return Err(SessionError::StreamName(name));
        }
        self.role = asked;
        Ok(Some(event(request)))
    }

    /// A live stream cannot pause, but the player needs an answer.
    fn pause(&mut self, command: &Command) {
        let code = match command.argument() {
            Some(Value::Boolean(false)) => "NetStream.Unpause.Notify",
            _ => "NetStream.Pause.Notify",
        };
        self.send_status(StatusLevel::Status, code, "live");
    }

    fn stop_publishing(&mut self, command: &Command) -> Option<Event> {
        self.put_result(command.transaction, [Value::Null, Value::Undefined]);
        if self.role == Role::Publishing {
            self.leave()
        } else {
            None
        }
    }
}
