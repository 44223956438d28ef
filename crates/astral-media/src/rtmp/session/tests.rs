//! Whole sessions with a client that sends what encoders and players send.

mod attacks;
mod playing;
mod publishing;

use super::*;
use crate::rtmp::amf0::{self, Value};
use crate::rtmp::chunk::tests::{Encoder, control, media};
use crate::rtmp::chunk::{CHUNK_BYTES_OUT, ChunkReader};

/// A client and the session it talks to.
struct Peer {
    session: ServerSession,
    encoder: Encoder,
    reader: ChunkReader,
    inbox: BytesMut,
    unread: BytesMut,
}

impl Peer {
    /// A peer after the handshake.
    fn new() -> Self {
        let mut session = ServerSession::new();
        let mut hello = BytesMut::from(&[&[3][..], &[0; 2 * 1536]].concat()[..]);
        assert_eq!(session.receive(&mut hello), Ok(None));
        assert_eq!(session.take_output().len(), 1 + 2 * 1536);
        Self {
            session,
            encoder: Encoder::new(),
            reader: ChunkReader::new(),
            inbox: BytesMut::new(),
            unread: BytesMut::new(),
        }
    }

    /// A peer whose connect, createStream and publish have been accepted.
    fn publishing() -> Self {
        let mut peer = Self::new();
        peer.connect();
        peer.publish();
        peer.session.accept_publish();
        peer.heard();
        peer
    }

    /// A peer whose connect, createStream and play have been accepted.
    fn playing() -> Self {
        let mut peer = Self::new();
        peer.connect();
        assert!(matches!(
            peer.command("play", 0.0, &["SLUG".into()]),
            Ok(Some(Event::Play(_)))
        ));
        peer.session.accept_play();
        peer.heard();
        peer
    }

    fn connect(&mut self) {
        let app = Value::Object(vec![("app".to_owned(), "live".into())]);
        let connect = command(&["connect".into(), 1.0.into(), app]);
        assert_eq!(self.send(connect), Ok(None));
        assert_eq!(self.command("createStream", 2.0, &[]), Ok(None));
    }

    fn publish(&mut self) {
        let asked = self.command("publish", 0.0, &["SLUG?key=K".into(), "live".into()]);
        assert!(matches!(asked, Ok(Some(Event::Publish(_)))), "{asked:?}");
    }

    fn command(
        &mut self,
        name: &str,
        id: f64,
        arguments: &[Value],
    ) -> Result<Option<Event>, SessionError> {
        self.send(command(
            &[&[name.into(), id.into(), Value::Null], arguments].concat(),
        ))
    }

    fn send(&mut self, message: Message) -> Result<Option<Event>, SessionError> {
        let chunks = self.encoder.encode(3, message).concat();
        self.send_bytes(&chunks)
    }

    fn send_bytes(&mut self, bytes: &[u8]) -> Result<Option<Event>, SessionError> {
        self.unread.extend_from_slice(bytes);
        self.session.receive(&mut self.unread)
    }

    /// The messages that the session has sent since the last call.
    fn heard(&mut self) -> Vec<Message> {
        self.inbox.extend_from_slice(&self.session.take_output());
        std::iter::from_fn(|| self.reader.read(&mut self.inbox).unwrap()).collect()
    }

    /// The commands and data that the session has sent since the last call, as names and status
    /// codes.
    fn heard_commands(&mut self) -> Vec<(String, Option<String>)> {
        let heard = self
            .heard()
            .into_iter()
            .filter(|m| [18, 20].contains(&m.kind));
        heard
            .map(|message| summary(&amf0::decode(&message.body).unwrap()))
            .collect()
    }
}

fn summary(values: &[Value]) -> (String, Option<String>) {
    let code = values
        .last()
        .and_then(|status| status.get("code"))
        .and_then(Value::as_str);
    (
        values[0].as_str().unwrap().to_owned(),
        code.map(str::to_owned),
    )
}

fn named(name: &str, code: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(code.to_owned()))
}

fn command(values: &[Value]) -> Message {
    values_message(20, values)
}

fn values_message(kind: u8, values: &[Value]) -> Message {
    let mut body = BytesMut::new();
    amf0::encode(values, &mut body);
    media(kind, 0, body)
}
