//! What a peer commands, RTMP 1.0 section 7.2, and the commands of Flash that encoders still send.

use super::request::Connection;
use super::{COMMAND_BYTES_MAX, CREATE_STREAM_MAX, Event, Role, ServerSession, StatusLevel};
use crate::rtmp::SessionError;
use crate::rtmp::amf0::{self, Value};
use crate::rtmp::chunk::{Message, STREAM_ID};
use crate::rtmp::message::COMMAND_AMF3;

/// How much of an unexpected command's name an error shows.
const SHOWN_CHARACTERS_MAX: usize = 32;

/// One command. No Debug: it may hold a publish key.
pub(super) struct Command {
    name: String,
    /// 0 if the peer wants no answer.
    transaction: f64,
    /// The command object and what follows.
    arguments: Vec<Value>,
}

impl Command {
    /// Reads a command message of either type.
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

    /// The first argument after the command object.
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
            // Answers to nothing that was asked.
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

    /// Every stream is the same one, so that the same bytes suit every player.
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

    /// A live stream does not wait, but a player that asks wants an answer.
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
