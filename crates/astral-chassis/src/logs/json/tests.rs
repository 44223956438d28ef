//! Lines as they are written for events and spans of many kinds.

use super::*;
use std::io;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The one line that `log` writes, without its time.
fn line(log: impl FnOnce()) -> String {
    let written = Written::default();
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(JsonLines)
        .with_writer(written.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let (time, rest) = text
        .strip_suffix('\n')
        .unwrap()
        .split_once(r#","level""#)
        .unwrap();
    assert!(time.starts_with(r#"{"timestamp":"2"#), "{time}");
    format!(r#"{{"level"{rest}"#)
}

#[test]
fn a_line_has_the_fields_of_its_spans_and_the_innermost_word_counts() {
    let line = line(|| {
        let _relay = tracing::error_span!("relay", node.id = "one", otel.kind = "server").entered();
        let _task = tracing::error_span!("task", task = "outer").entered();
        let _inner = tracing::error_span!("task", task = "inner", late = tracing::field::Empty);
        let _inner = _inner.entered();
        tracing::info!(target: "test", count = 3_u64, stream.slug = "demo", "done");
    });
    let expected = r#"{"level":"INFO","target":"test","message":"done","count":3,"node.id":"one","stream.slug":"demo","task":"inner"}"#;
    assert_eq!(line, expected);
}

#[test]
fn no_field_takes_the_place_of_what_a_line_says_itself() {
    let line = line(|| {
        let _span = tracing::error_span!("span", level = "high", name = "span").entered();
        tracing::warn!(target: "test", timestamp = -1_i64, target = 0.5, ok = true, error = %"none", "told");
    });
    let expected = r#"{"level":"WARN","target":"test","message":"told","error":"none","field.level":"high","field.target":0.5,"field.timestamp":-1,"name":"span","ok":true}"#;
    assert_eq!(line, expected);
}

#[test]
fn a_value_that_is_recorded_later_replaces_the_first() {
    let line = line(|| {
        let span = tracing::error_span!("span", state = "first", quote = "\"");
        span.record("state", "last");
        let _span = span.entered();
        tracing::error!(target: "test", "a line\nof two");
    });
    let expected = r#"{"level":"ERROR","target":"test","message":"a line\nof two","quote":"\"","state":"last"}"#;
    assert_eq!(line, expected);
}
