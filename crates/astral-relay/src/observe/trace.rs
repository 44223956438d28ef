//! Trace contexts, and where spans of traces come from.

use opentelemetry::{Context, global};
use std::collections::HashMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of spans that make traces, wherever they are made.
pub const TARGET: &str = "astral_trace";

/// The trace context of `span`, as header fields.
pub fn context_fields(span: &Span) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let context = span.context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut fields));
    // A field without a value means nothing.
    fields.retain(|_, value| !value.is_empty());
    fields
}

/// `span`, as a child of what `context` belongs to. Unlike a child by nesting, it does not keep its
/// parent open.
pub fn child(context: Context, span: Span) -> Span {
    // Fails where nothing is traced.
    drop(span.set_parent(context));
    span
}
