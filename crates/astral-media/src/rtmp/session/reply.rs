//! The answers of the server.

use super::ServerSession;
use crate::rtmp::amf0::{self, Value};
use crate::rtmp::chunk::{CHUNK_BYTES_OUT, STREAM_ID, put_message};
use crate::rtmp::message;
use bytes::BytesMut;

/// The window for acknowledgements, and the peer bandwidth: large enough to have no effect.
const WINDOW_BYTES: u32 = 5_000_000;
/// The limit type of Set Peer Bandwidth: dynamic.
const LIMIT_DYNAMIC: u8 = 2;
/// A version of Flash Media Server that players know.
const SERVER_VERSION: &str = "FMS/3,0,1,123";
/// The capabilities that such a server states.
const CAPABILITIES: f64 = 31.0;

/// The level of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusLevel {
    /// Success.
    Status,
    /// Something should be changed. The stream continues.
    Warning,
    /// Failure.
    Error,
}

impl StatusLevel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl ServerSession {
    /// Sends a status about the stream, which the peer may show to its user.
    pub fn send_status(&mut self, level: StatusLevel, code: &str, description: &str) {
        let status = information(level, code, description);
        self.put_values(
            message::COMMAND_AMF0,
            STREAM_ID,
            &[
                "onStatus".into(),
                0.0.into(),
                Value::Null,
                Value::Object(status),
            ],
        );
    }

    /// Accepts connect. Sets the chunk size before anything longer than the default one is sent.
    pub(super) fn put_connected(&mut self, transaction: f64) {
        self.put_control(message::WINDOW_SIZE, &WINDOW_BYTES.to_be_bytes());
        let [a, b, c, d] = WINDOW_BYTES.to_be_bytes();
        self.put_control(message::PEER_BANDWIDTH, &[a, b, c, d, LIMIT_DYNAMIC]);
        self.put_control(
            message::SET_CHUNK_SIZE,
            &(CHUNK_BYTES_OUT as u32).to_be_bytes(),
        );
        let server = vec![
            ("fmsVer".to_owned(), SERVER_VERSION.into()),
            ("capabilities".to_owned(), CAPABILITIES.into()),
        ];
        let mut status = information(
            StatusLevel::Status,
            "NetConnection.Connect.Success",
            "connected",
        );
        status.push(("objectEncoding".to_owned(), 0.0.into()));
        self.put_result(transaction, [Value::Object(server), Value::Object(status)]);
    }

    /// Sends the result of a command, unless the peer wants none.
    pub(super) fn put_result<const N: usize>(&mut self, transaction: f64, values: [Value; N]) {
        self.put_answer("_result", transaction, &values);
    }

    /// Sends the failure of a command, unless the peer wants none.
    pub(super) fn put_error(&mut self, transaction: f64, code: &str, description: &str) {
        let status = Value::Object(information(StatusLevel::Error, code, description));
        self.put_answer("_error", transaction, &[Value::Null, status]);
    }

    fn put_answer(&mut self, name: &str, transaction: f64, values: &[Value]) {
        if transaction != 0.0 {
            let head = [name.into(), transaction.into()];
            self.put_values(message::COMMAND_AMF0, 0, &[&head, values].concat());
        }
    }

    /// Allows players to access samples. Some players show nothing before they receive this.
    pub(super) fn put_sample_access(&mut self) {
        let values = [
            "|RtmpSampleAccess".into(),
            Value::Boolean(true),
            Value::Boolean(true),
        ];
        self.put_values(message::DATA_AMF0, STREAM_ID, &values);
    }

    /// Tells players that data follows.
    pub(super) fn put_data_start(&mut self) {
        let status = vec![("code".to_owned(), "NetStream.Data.Start".into())];
        self.put_values(
            message::DATA_AMF0,
            STREAM_ID,
            &["onStatus".into(), Value::Object(status)],
        );
    }

    pub(super) fn put_control(&mut self, kind: u8, body: &[u8]) {
        put_message(&mut self.output, kind, 0, BytesMut::from(body));
    }

    pub(super) fn put_user_control(&mut self, event: u16, data: [u8; 4]) {
        let body = [&event.to_be_bytes()[..], &data].concat();
        self.put_control(message::USER_CONTROL, &body);
    }

    fn put_values(&mut self, kind: u8, stream_id: u32, values: &[Value]) {
        let mut body = BytesMut::new();
        amf0::encode(values, &mut body);
        put_message(&mut self.output, kind, stream_id, body);
    }
}

fn information(level: StatusLevel, code: &str, description: &str) -> amf0::Properties {
    let texts = [
        ("level", level.as_str()),
        ("code", code),
        ("description", description),
    ];
    texts
        .map(|(name, text)| (name.to_owned(), text.into()))
        .to_vec()
}
