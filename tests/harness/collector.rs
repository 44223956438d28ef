//! A trace collector: receives spans over OTLP/HTTP as protobuf, and keeps them.

use crate::eventually;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, span::SpanKind, status::StatusCode};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Largest request that is accepted, in bytes.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// An attribute of a span, in the type in which it was sent.
pub type Attribute = serde_json::Value;

/// The only attribute that is text although it may be a number (OpenTelemetry conventions for HTTP
/// spans).
const TEXT_BY_CONVENTION: &str = "error.type";

/// A span as it was sent.
#[derive(Clone, Debug)]
pub struct Span {
    /// The program that sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// The side of a call that it describes.
    pub kind: SpanKind,
    /// Its trace.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// The parent span; empty if it has none.
    pub parent: String,
    /// The traces that it is linked to.
    pub links: Vec<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, Attribute>,
    /// Whether it has failed.
    pub failed: bool,
    /// Its duration.
    pub took: Duration,
}

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    /// All bytes that were sent. They must not contain a secret.
    bytes: Vec<u8>,
}

/// A collector on a free port. It stops when it is dropped.
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    task: JoinHandle<()>,
}

impl Collector {
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let taken = Arc::<Mutex<Taken>>::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&taken)));
        Self {
            address,
            taken,
            task,
        }
    }

    /// Returns the value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns all spans so far.
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.taken).spans.clone()
    }

    /// Returns whether `secret` has been sent anywhere.
    pub fn has_heard(&self, secret: &str) -> bool {
        lock(&self.taken)
            .bytes
            .windows(secret.len())
            .any(|bytes| bytes == secret.as_bytes())
    }

    /// Returns attributes that are numbers but were sent as text. Nobody can search for those above
    /// a limit.
    pub fn numbers_as_text(&self) -> BTreeSet<String> {
        let attributes = self.spans().into_iter().flat_map(|span| span.attributes);
        let is_number = |value: &Attribute| {
            value
                .as_str()
                .is_some_and(|text| text.parse::<f64>().is_ok())
        };
        let wrong =
            attributes.filter(|(name, value)| name != TEXT_BY_CONVENTION && is_number(value));
        wrong.map(|(name, _)| name).collect()
    }

    /// Waits for a span for which `is` holds.
    ///
    /// # Panics
    /// If none comes.
    pub async fn takes(&self, what: &str, is: impl Fn(&Span) -> bool) -> Span {
        eventually(what, || async { self.spans().into_iter().find(&is) }).await
    }

    /// Returns `span` and its ancestors, as far as they were sent, innermost first.
    pub fn way_up(&self, span: &Span) -> Vec<Span> {
        let spans = self.spans();
        let mut way = vec![span.clone()];
        while let Some(above) = spans
            .iter()
            .find(|above| above.id == way[way.len() - 1].parent)
        {
            way.push(above.clone());
        }
        way
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, taken: Arc<Mutex<Taken>>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(serve(socket, Arc::clone(&taken)));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves requests until the peer closes or sends something invalid.
async fn serve(mut socket: TcpStream, taken: Arc<Mutex<Taken>>) {
    let mut bytes = Vec::new();
    while let Some((path, body)) = request(&mut socket, &mut bytes).await {
        let status = match ExportTraceServiceRequest::decode(body.as_slice()) {
            Ok(export) if path == "/v1/traces" => {
                let mut taken = lock(&taken);
                taken.bytes.extend(&body);
                taken
                    .spans
                    .extend(export.resource_spans.iter().flat_map(spans));
                "200 OK"
            }
            _ => "400 Bad Request",
        };
        let head = "Content-Type: application/x-protobuf\r\nContent-Length: 0";
        if socket
            .write_all(format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n").as_bytes())
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn request(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Request::new(&mut fields);
        if let httparse::Status::Complete(length) = head.parse(bytes).ok()? {
            let told = head
                .headers
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
            let told: usize = std::str::from_utf8(told.value).ok()?.parse().ok()?;
            if bytes.len() >= length + told {
                let path = head.path?.to_owned();
                let rest = bytes.split_off(length + told);
                let body = std::mem::replace(bytes, rest).split_off(length);
                return Some((path, body));
            }
        }
        if bytes.len() > REQUEST_BYTES_MAX || socket.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn spans(of: &ResourceSpans) -> Vec<Span> {
    let resource = of
        .resource
        .as_ref()
        .map(|resource| attributes(&resource.attributes))
        .unwrap_or_default();
    let service = resource
        .get("service.name")
        .and_then(Attribute::as_str)
        .unwrap_or_default()
        .to_owned();
    let spans = of.scope_spans.iter().flat_map(|scope| &scope.spans);
    let read = spans.map(|span| Span {
        service: service.clone(),
        name: span.name.clone(),
        kind: span.kind(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
        attributes: attributes(&span.attributes),
        failed: span
            .status
            .as_ref()
            .is_some_and(|status| status.code() == StatusCode::Error),
        took: Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano),
    });
    read.collect()
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, Attribute> {
    let pair = |pair: &KeyValue| {
        let value = match pair.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => text.as_str().into(),
            Value::IntValue(number) => (*number).into(),
            Value::DoubleValue(number) => (*number).into(),
            Value::BoolValue(flag) => (*flag).into(),
            other => format!("{other:?}").into(),
        };
        Some((pair.key.clone(), value))
    };
    pairs.iter().filter_map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
