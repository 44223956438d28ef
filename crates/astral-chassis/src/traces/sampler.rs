//! Which traces are kept: those that the standard variables select, and every span that asks to be
//! kept.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{Config, SamplingDecision, SamplingResult, ShouldSample};

/// A span with this attribute above 0 is kept. Such spans are rare and valuable, for example
/// failovers; of all others a sample is enough. The name comes from the conventions of OpenTracing.
const PRIORITY: &str = "sampling.priority";

/// Keeps spans that ask for it, and a sample of the others by `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Debug)]
pub(super) struct Sampler {
    otherwise: Box<dyn ShouldSample>,
}

impl Sampler {
    /// Uses the sampler that the environment names.
    pub(super) fn from_environment() -> Self {
        Self {
            otherwise: Config::default().sampler,
        }
    }
}

impl ShouldSample for Sampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if !attributes.iter().any(asks) {
            return self
                .otherwise
                .should_sample(parent, trace_id, name, kind, attributes, links);
        }
        let trace_state = parent.map(|parent| parent.span().span_context().trace_state().clone());
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: trace_state.unwrap_or_default(),
        }
    }
}

fn asks(attribute: &KeyValue) -> bool {
    attribute.key.as_str() == PRIORITY
        && matches!(attribute.value, Value::I64(priority) if priority > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::trace::Sampler as Standard;

    fn is_kept(attributes: &[KeyValue]) -> bool {
        let sampler = Sampler {
            otherwise: Box::new(Standard::AlwaysOff),
        };
        let result = sampler.should_sample(
            None,
            TraceId::from(1),
            "span",
            &SpanKind::Internal,
            attributes,
            &[],
        );
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn a_span_is_kept_against_the_sampler_only_if_it_asks() {
        assert!(is_kept(&[KeyValue::new(PRIORITY, 1)]));
        assert!(!is_kept(&[KeyValue::new(PRIORITY, 0)]));
        assert!(!is_kept(&[KeyValue::new("stream.slug", "demo")]));
        assert!(!is_kept(&[]));
    }
}
