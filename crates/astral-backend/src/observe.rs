//! How calls to the outside systems are seen: a span and a duration for each, by the semantic conventions of
//! OpenTelemetry where there are any, and the trace context that goes along (W3C Trace Context).

use astral_proto::{Code, Problem};
use opentelemetry::global;
use std::borrow::Cow;
use std::collections::HashMap;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of spans that make traces, wherever they are made.
const TARGET: &str = "astral_trace";
/// The fields of a trace context.
const FIELDS: [&str; 2] = ["traceparent", "tracestate"];

/// The trace that a message belongs to; empty if none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TraceContext(HashMap<String, String>);

impl TraceContext {
    /// That of the span this is called in.
    pub(crate) fn here() -> Self {
        let mut fields = HashMap::new();
        let context = Span::current().context();
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut fields)
        });
        Self(fields)
    }

    /// As it came over a network.
    pub(crate) fn received(field: impl Fn(&str) -> Option<String>) -> Self {
        let fields = FIELDS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), field(name)?)));
        Self(fields.collect())
    }

    /// As it goes over a network; a field without a value says nothing and is left out.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        fields.filter(|(_, value)| !value.is_empty())
    }

    /// Makes `span` part of this trace.
    fn adopt(&self, span: &Span) {
        if !self.0.is_empty() {
            let context = global::get_text_map_propagator(|propagator| propagator.extract(&self.0));
            // Fails where nothing is traced.
            drop(span.set_parent(context));
        }
    }
}

/// A request on the bus, from one side.
pub(crate) struct Call {
    span: Span,
    side: &'static str,
    subject: String,
}

impl Call {
    /// Asked by this process.
    pub(crate) fn asked(system: &'static str, subject: &str) -> Self {
        let template = template(subject);
        let span = tracing::debug_span!(
            target: TARGET,
            "request",
            otel.name = %format_args!("request {template}"),
            otel.kind = "client",
            otel.status_code = Empty,
            messaging.system = system,
            messaging.operation.name = "request",
            messaging.operation.type = "send",
            messaging.destination.name = subject,
            messaging.destination.template = %template,
            error.type = Empty,
        );
        Self {
            span,
            side: "client",
            subject: template.into_owned(),
        }
    }

    /// Served by this process, for whoever is in `trace`.
    pub(crate) fn served(system: &'static str, subject: &str, trace: &TraceContext) -> Self {
        let template = template(subject);
        let span = tracing::debug_span!(
            target: TARGET,
            "process",
            otel.name = %format_args!("process {template}"),
            otel.kind = "server",
            otel.status_code = Empty,
            messaging.system = system,
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = subject,
            messaging.destination.template = %template,
            error.type = Empty,
        );
        trace.adopt(&span);
        Self {
            span,
            side: "server",
            subject: template.into_owned(),
        }
    }

    /// Runs `exchange` as this call.
    pub(crate) async fn run<T>(
        self,
        exchange: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let started = Instant::now();
        let result = exchange.instrument(self.span.clone()).await;
        let code = close(&self.span, result.as_ref().err());
        let labels = [
            ("side", metrics::SharedString::const_str(self.side)),
            ("subject", metrics::SharedString::from_owned(self.subject)),
            ("code", metrics::SharedString::const_str(code)),
        ];
        metrics::histogram!("astral_bus_request_seconds", &labels).record(started.elapsed());
        result
    }
}

/// The subject without the ids in it, of which there are too many to be names.
fn template(subject: &str) -> Cow<'_, str> {
    let verb = subject
        .strip_prefix("astral.node.")
        .and_then(|rest| rest.split_once('.'));
    verb.map_or(Cow::Borrowed(subject), |(_, verb)| {
        format!("astral.node.*.{verb}").into()
    })
}

/// One operation on the state.
pub(crate) struct Operation {
    span: Span,
    system: &'static str,
    name: &'static str,
    collection: String,
}

impl Operation {
    /// `name` on `collection`.
    pub(crate) fn begun(system: &'static str, name: &'static str, collection: &str) -> Self {
        let span = tracing::debug_span!(
            target: TARGET,
            "state",
            otel.name = %format_args!("{name} {collection}"),
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = system,
            db.operation.name = name,
            db.collection.name = collection,
            error.type = Empty,
        );
        Self {
            span,
            system,
            name,
            collection: collection.to_owned(),
        }
    }

    /// Runs `work` as this operation.
    pub(crate) async fn run<T>(
        self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let started = Instant::now();
        let result = work.instrument(self.span.clone()).await;
        let code = close(&self.span, result.as_ref().err());
        let labels = [
            ("system", metrics::SharedString::const_str(self.system)),
            ("operation", metrics::SharedString::const_str(self.name)),
            (
                "collection",
                metrics::SharedString::from_owned(self.collection),
            ),
            ("code", metrics::SharedString::const_str(code)),
        ];
        metrics::histogram!("astral_state_operation_seconds", &labels).record(started.elapsed());
        result
    }
}

/// Says in `span` what went wrong, if anything did; the code as a label.
fn close(span: &Span, problem: Option<&Problem>) -> &'static str {
    let Some(problem) = problem else { return "ok" };
    span.record("error.type", problem.code.as_str());
    if problem.code.may_retry() || problem.code == Code::Internal {
        span.record("otel.status_code", "ERROR");
    }
    problem.code.as_str()
}

/// An outside system that this process keeps a connection to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    Bus,
    State,
}

impl Outside {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::State => "state",
        }
    }

    /// The flag that says where it is.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Bus => "--bus-url",
            Self::State => "--state-url",
        }
    }

    /// What must listen there.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Bus => "a NATS server",
            Self::State => "a Redis server",
        }
    }

    /// How its URL begins with TLS.
    pub(crate) fn tls(self) -> &'static str {
        match self {
            Self::Bus => "tls://",
            Self::State => "rediss://",
        }
    }

    /// How its URL begins without TLS.
    pub(crate) fn plain(self) -> &'static str {
        match self {
            Self::Bus => "nats://",
            Self::State => "redis://",
        }
    }
}

/// There is a new connection.
pub(crate) fn connected(system: Outside) {
    is_connected(system, true);
    match system {
        Outside::Bus => metrics::counter!("astral_bus_connections_total").increment(1),
        Outside::State => metrics::counter!("astral_state_connections_total").increment(1),
    }
}

/// Whether there is one. To be said again and again: what nobody says any more is forgotten.
pub(crate) fn is_connected(system: Outside, is: bool) {
    match system {
        Outside::Bus => metrics::gauge!("astral_bus_connected").set(f64::from(u8::from(is))),
        Outside::State => metrics::gauge!("astral_state_connected").set(f64::from(u8::from(is))),
    }
}

/// Whether the state evicts entries when it is full.
pub(crate) fn may_lose_entries(may: bool) {
    metrics::gauge!("astral_state_evicts").set(f64::from(u8::from(may)));
}

/// An event has been published. Its kind and what happened are parts of its subject; of any other there is nothing to tell.
pub(crate) fn published(subject: &str) {
    let parts = subject
        .strip_prefix("astral.event.")
        .and_then(|rest| rest.split_once('.'));
    if let Some((kind, what)) = parts {
        metrics::counter!("astral_events_published_total", "kind" => kind.to_owned(), "what" => what.to_owned())
            .increment(1);
    }
}

/// Registers what is counted with the value 0: a series that first appears with 1 is no increase to Prometheus.
pub(crate) fn begin() {
    metrics::counter!("astral_bus_messages_lost_total").increment(0);
    metrics::counter!("astral_bus_messages_late_total").increment(0);
    metrics::counter!("astral_bus_requests_repeated_total").increment(0);
}

/// A request is sent to another replica, since the first one said nothing.
pub(crate) fn request_repeated() {
    metrics::counter!("astral_bus_requests_repeated_total").increment(1);
}

/// Whether a replica of `service` is known not to answer.
pub(crate) fn replica_is_silent(service: &str, replica: &str, is: bool) {
    let labels = [
        ("service", service.to_owned()),
        ("replica", replica.to_owned()),
    ];
    metrics::gauge!("astral_bus_replica_silent", &labels).set(f64::from(u8::from(is)));
}

/// A message had waited for longer than its sender does.
pub(crate) fn message_came_too_late() {
    metrics::counter!("astral_bus_messages_late_total").increment(1);
}

/// A subscriber's queue had no room for a message.
pub(crate) fn message_lost() {
    metrics::counter!("astral_bus_messages_lost_total").increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_named_without_the_ids_in_it() {
        assert_eq!(
            template("astral.ticket-broker.request"),
            "astral.ticket-broker.request"
        );
        let subject = "astral.node.6b1e4c8a-3b0f-4f5e-9b60-0d3cfd6d2d55.probe";
        assert_eq!(template(subject), "astral.node.*.probe");
    }

    #[test]
    fn a_trace_context_is_its_two_fields_and_nothing_else() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let received = TraceContext::received(|name| match name {
            "traceparent" => Some(parent.to_owned()),
            "tracestate" => Some(String::new()),
            _ => Some("more".to_owned()),
        });
        assert_eq!(
            received.fields().collect::<Vec<_>>(),
            [("traceparent", parent)]
        );
        assert_eq!(TraceContext::received(|_| None), TraceContext::default());
    }
}
