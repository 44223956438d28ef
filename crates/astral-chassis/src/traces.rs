//! Traces over OTLP, configured only by the standard `OTEL_…` variables. Tracing is off if none of
//! them names a collector.
//!
//! Spans with the target `astral_trace` are traced; any crate makes them with `tracing`. A separate
//! thread sends them from a queue with a limit (`OTEL_BSP_MAX_QUEUE_SIZE`, 2048). Spans that do not
//! fit are lost.

mod exporter;
mod sampler;
mod variables;

use exporter::Exporter;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use sampler::Sampler;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::Instant;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};
use variables::Variables;

/// The target of every span that is sent. Its level is below `info`, so log lines contain these
/// spans only on request.
const TARGET: &str = "astral_trace";
/// The name of the instrumentation scope.
const SCOPE: &str = "astral";
/// Time to send the last spans on exit. It is shorter if the drain leaves less, but at least
/// [`FLUSH_WAIT_MIN`].
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(2);
const FLUSH_WAIT_MIN: Duration = Duration::from_millis(100);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Starts logging to `lines`, and tracing if a variable names a collector. The first call in a
/// program decides for all of it. Call it on a tokio runtime.
pub(crate) fn start(component: &str, lines: Box<dyn Layer<Registry> + Send + Sync>) {
    let variables = Variables::read();
    let wanted = variables.as_ref().ok().and_then(Option::as_ref);
    let provider = wanted
        .map(|variables| provider(component, variables))
        .transpose();
    let layer = provider.as_ref().ok().and_then(Option::as_ref).map(layer);
    if tracing_subscriber::registry()
        .with(lines)
        .with(layer)
        .try_init()
        .is_err()
    {
        // A test or another service in this program has set it already.
        return;
    }
    let refused = variables.as_ref().err().or(provider.as_ref().err());
    if let Some(why) = refused {
        tracing::warn!(why, "traces are off");
    }
    if let Ok(Some(provider)) = provider {
        global::set_text_map_propagator(TraceContextPropagator::new());
        PROVIDER.get_or_init(|| provider);
    }
}

/// Sends the remaining spans, until `deadline` at the latest.
pub(crate) async fn flush(deadline: Option<Instant>) {
    let Some(provider) = PROVIDER.get() else {
        return;
    };
    let left = deadline.map_or(FLUSH_WAIT_MAX, |deadline| {
        deadline.duration_since(Instant::now())
    });
    let wait = left.clamp(FLUSH_WAIT_MIN, FLUSH_WAIT_MAX);
    let flushing = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(wait));
    // A collector that does not answer has been logged already.
    drop(tokio::time::timeout(wait, flushing).await);
}

fn provider(component: &str, variables: &Variables) -> Result<SdkTracerProvider, String> {
    let exporter = Exporter::new(variables)?;
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
    if !variables.names_service {
        resource = resource.with_service_name(program(component));
    }
    let batches = BatchSpanProcessor::builder(exporter).build();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_sampler(Sampler::from_environment())
        .with_span_processor(batches);
    Ok(provider.build())
}

/// The name of the program of a component.
fn program(component: &str) -> String {
    if component.starts_with("astral") {
        component.into()
    } else {
        format!("astral-{component}")
    }
}

fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_level(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::DEBUG))
}

#[cfg(test)]
mod tests {
    use super::program;

    #[test]
    fn a_service_is_named_after_its_program() {
        assert_eq!(program("media-forwarder"), "astral-media-forwarder");
        assert_eq!(program("astral"), "astral");
        assert_eq!(program("astralnode"), "astralnode");
    }
}
