//! The traces of a pull: joining a stream, and failing over.

use super::trace::{TARGET, child, context_fields};
use crate::failover_cause::FailoverCause;
use astral_proto::{NodeId, Problem, Slug};
use astral_runtime::lock;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The trace of one pull. At most one of joining and failing over is under way.
pub struct Episode {
    node: NodeId,
    slug: Slug,
    /// The join, which failovers are linked to.
    join: SpanContext,
    open: Mutex<Open>,
}

struct Open {
    span: Span,
    is_failover: bool,
}

impl Open {
    /// Nothing is under way.
    fn nothing() -> Self {
        Self {
            span: Span::none(),
            is_failover: false,
        }
    }
}

impl Episode {
    /// Starts the trace of a join, as a part of what is traced at this moment.
    pub fn join(node: NodeId, slug: &Slug) -> Self {
        let span = tracing::debug_span!(
            target: TARGET,
            parent: None,
            "join",
            otel.name = "join",
            otel.status_code = Empty,
            error.type = Empty,
            node.id = %node,
            stream.slug = slug.as_str(),
        );
        let span = child(Span::current().context(), span);
        let join = span.context().span().span_context().clone();
        let open = Mutex::new(Open {
            span,
            is_failover: false,
        });
        Self {
            node,
            slug: slug.clone(),
            join,
            open,
        }
    }

    /// Starts the trace of a failover from the provider `from`, unless something is under way. A
    /// failover is a trace of its own.
    pub fn failover(&self, cause: FailoverCause, from: NodeId) {
        let mut open = self.open();
        if !open.span.is_none() {
            return;
        }
        let span = tracing::debug_span!(
            target: TARGET,
            parent: None,
            "failover",
            otel.name = "failover",
            // Always sampled: failovers are rare, and somebody may ask about each of them.
            sampling.priority = 1,
            otel.status_code = Empty,
            error.type = Empty,
            node.id = %self.node,
            stream.slug = self.slug.as_str(),
            failover.cause = cause.as_str(),
            provider.left = %from,
            provider.id = Empty,
            failover.gap_ms = Empty,
        );
        span.add_link(self.join.clone());
        *open = Open {
            span,
            is_failover: true,
        };
    }

    /// A span for a message to the broker, within what is under way.
    pub fn broker_span(&self, name: &'static str) -> Span {
        Self::broker_span_in(self.context(), name)
    }

    /// As [`Episode::broker_span`], within what was under way when `context` was taken.
    pub fn broker_span_in(context: Context, name: &'static str) -> Span {
        step(
            context,
            || tracing::debug_span!(target: TARGET, parent: None, "tickets", otel.name = name),
        )
    }

    /// The context of what is under way.
    pub fn context(&self) -> Context {
        self.open().span.context()
    }

    /// Ends a failover: the first frame has come from `to`.
    pub fn failed_over(&self, to: NodeId, gap: Duration) {
        let mut open = self.open();
        if open.is_failover {
            open.span.record("provider.id", tracing::field::display(to));
            open.span.record("failover.gap_ms", gap.as_millis() as i64);
            *open = Open::nothing();
        }
    }

    /// Ends a join: frames arrive, and the backlog is here.
    pub fn flows(&self) {
        let mut open = self.open();
        if !open.is_failover {
            *open = Open::nothing();
        }
    }

    /// Ends what is under way with a failure.
    pub fn refused(&self, problem: &Problem) {
        let mut open = self.open();
        open.span.record("error.type", problem.code.as_str());
        open.span.record("otel.status_code", "ERROR");
        *open = Open::nothing();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        lock(&self.open)
    }
}

/// A span within `context`; no span if nothing is traced there.
fn step(context: Context, span: impl FnOnce() -> Span) -> Span {
    if context.has_active_span() {
        child(context, span())
    } else {
        Span::none()
    }
}

/// The span of a link from its start until the backlog of its provider has arrived.
pub struct LinkSpan {
    span: Span,
}

impl LinkSpan {
    /// Starts the span of the link to `provider` at `address`, within `episode`.
    pub fn start(episode: &Episode, provider: NodeId, address: &str) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let span = step(episode.context(), || {
            tracing::debug_span!(
                target: TARGET,
                parent: None,
                "link",
                otel.name = "GET /relay/{slug}",
                otel.kind = "client",
                otel.status_code = Empty,
                http.request.method = "GET",
                http.response.status_code = Empty,
                url.path = %format_args!("/relay/{}", episode.slug),
                url.template = "/relay/{slug}",
                server.address = host,
                server.port = port.parse::<u16>().ok().map(i64::from),
                error.type = Empty,
                node.id = %episode.node,
                stream.slug = episode.slug.as_str(),
                provider.id = %provider,
                stream.hops = Empty,
            )
        });
        Self { span }
    }

    /// The trace context, as header fields for the provider.
    pub fn fields(&self) -> impl Iterator<Item = (String, String)> {
        context_fields(&self.span).into_iter()
    }

    /// The provider has answered.
    pub fn answered(&self, status: u16) {
        self.span
            .record("http.response.status_code", i64::from(status));
    }

    /// The provider is this many links from the origin.
    pub fn hops(&self, hops: usize) {
        self.span.record("stream.hops", hops as i64);
    }

    /// The backlog of the provider has arrived.
    pub fn done(&mut self) {
        self.span = Span::none();
    }

    /// The link has ended earlier; `reason` says why, if it failed.
    pub fn broke_off(&mut self, reason: Option<&'static str>) {
        if let Some(reason) = reason {
            self.span.record("error.type", reason);
            self.span.record("otel.status_code", "ERROR");
        }
        self.done();
    }
}
