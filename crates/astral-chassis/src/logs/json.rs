//! Log lines as JSON: one flat object a line, without duplicate keys.

use super::NODE;
use serde::Serialize;
use serde_json::{Map, Value};
use std::error::Error;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Keys that every line has. A field with such a name is written as `field.NAME`.
const OWN_KEYS: [&str; 4] = ["timestamp", "level", "target", "message"];
/// Fields that control the library that sends spans.
const DIRECTIONS: &str = "otel.";

/// Writes an event with its own fields and those of its spans. The innermost value wins. The fields
/// of spans must be JSON objects already.
pub(super) struct JsonLines;

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::of_the_process();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(written) = span.extensions().get::<FormattedFields<N>>() {
                fields.add_written(&written.fields);
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = Line {
            timestamp: now()?,
            level: metadata.level().as_str(),
            target: metadata.target(),
            message: fields.message,
            fields: fields.named,
        };
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

fn now() -> Result<String, fmt::Error> {
    let mut text = String::new();
    SystemTime.format_time(&mut Writer::new(&mut text))?;
    Ok(text)
}

#[derive(Default)]
struct Fields {
    message: Option<Value>,
    named: Map<String, Value>,
}

impl Fields {
    /// The fields that every line of this process has.
    fn of_the_process() -> Self {
        let mut fields = Self::default();
        if let Some(node) = NODE.get() {
            fields.set("node.id", node.as_str().into());
        }
        fields
    }

    /// Adds the fields of a span, a JSON object.
    fn add_written(&mut self, written: &str) {
        let written: Map<String, Value> = serde_json::from_str(written).unwrap_or_default();
        for (name, value) in written {
            self.set(&name, value);
        }
    }

    fn set(&mut self, name: &str, value: Value) {
        if name.starts_with(DIRECTIONS) {
            return;
        }
        let is_taken = OWN_KEYS.contains(&name);
        let name = if is_taken {
            format!("field.{name}")
        } else {
            name.to_owned()
        };
        self.named.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = Value::from(format!("{value:?}"));
        match field.name() {
            "message" => self.message = Some(value),
            name => self.set(name, value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.set(field.name(), value.to_string().into());
    }
}

#[cfg(test)]
mod tests;
