//! What a subscriber goes through until frames come: joining a stream, or failing over.

use super::{TARGET, child};
use crate::core::Relay;
use crate::failover_cause::FailoverCause;
use crate::sync::lock;
use astral_proto::{NodeId, Problem, Slug};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A subscriber's pull of one stream: at most one of joining and failing over is under way.
pub struct Episode {
    node: NodeId,
    slug: Slug,
    /// Of the join, which failovers are linked to.
    join: SpanContext,
    open: Mutex<Open>,
}

struct Open {
    span: Span,
    is_failover: bool,
}

impl Open {
    fn nothing() -> Self {
        Self {
            span: Span::none(),
            is_failover: false,
        }
    }
}

impl Episode {
    /// A relay joins a stream, for whoever is traced at this moment.
    pub fn join(relay: &Relay, slug: &Slug) -> Self {
        let span = tracing::debug_span!(
            target: TARGET,
            parent: None,
            "join",
            otel.name = "join",
            otel.status_code = Empty,
            error.type = Empty,
            node.id = %relay.node(),
            stream.slug = slug.as_str(),
        );
        let span = child(Span::current().context(), span);
        let join = span.context().span().span_context().clone();
        let open = Mutex::new(Open {
            span,
            is_failover: false,
        });
        Self {
            node: relay.node(),
            slug: slug.clone(),
            join,
            open,
        }
    }

    /// The provider `from` has failed for `cause`. A failover is a trace of its own; one that is under way goes on.
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
            // Failovers are few, and each of them is one that somebody may ask about.
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

    /// What the broker is asked or told, as a step of what is under way.
    pub fn books(&self, name: &'static str) -> Span {
        Self::books_in(self.context(), name)
    }

    /// As [`Episode::books`], of what was under way when `context` was taken.
    pub fn books_in(context: Context, name: &'static str) -> Span {
        step(
            context,
            || tracing::debug_span!(target: TARGET, parent: None, "tickets", otel.name = name),
        )
    }

    /// What is under way, to be continued later.
    pub fn context(&self) -> Context {
        self.open().span.context()
    }

    /// The first frame after a failure has come from `to`.
    pub fn failed_over(&self, to: NodeId, gap: Duration) {
        let mut open = self.open();
        if open.is_failover {
            open.span.record("provider.id", tracing::field::display(to));
            open.span.record("failover.gap_ms", gap.as_millis() as i64);
            *open = Open::nothing();
        }
    }

    /// Frames come, up to date.
    pub fn flows(&self) {
        let mut open = self.open();
        if !open.is_failover {
            *open = Open::nothing();
        }
    }

    /// It will not be.
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

/// A span within `context`; none within nothing.
fn step(context: Context, span: impl FnOnce() -> Span) -> Span {
    if context.has_active_span() {
        child(context, span())
    } else {
        Span::none()
    }
}

/// The opening of a link, until it is up to date with its provider.
pub struct Opening {
    span: Span,
}

impl Opening {
    /// Of the link to `provider` at `address`, as a step of `episode`.
    pub fn begun(episode: &Episode, provider: NodeId, address: &str) -> Self {
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

    /// What the provider is told of the trace.
    pub fn fields(&self) -> impl Iterator<Item = (String, String)> {
        super::context_fields(&self.span).into_iter()
    }

    /// The provider has answered.
    pub fn answered(&self, status: u16) {
        self.span
            .record("http.response.status_code", i64::from(status));
    }

    /// Relay links from the origin.
    pub fn hops(&self, hops: usize) {
        self.span.record("stream.hops", hops as i64);
    }

    /// The link is up to date.
    pub fn done(&mut self) {
        self.span = Span::none();
    }

    /// The link has ended before it was; `reason` says why, if it failed.
    pub fn broke_off(&mut self, reason: Option<&'static str>) {
        if let Some(reason) = reason {
            self.span.record("error.type", reason);
            self.span.record("otel.status_code", "ERROR");
        }
        self.done();
    }
}
