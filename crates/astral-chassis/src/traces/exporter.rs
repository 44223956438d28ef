//! Sends spans to the collector, over a connection on the runtime of the process, with one log line
//! when that fails.

use super::variables::Variables;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as Export};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// Longest time for one attempt. The limit of the library (`OTEL_EXPORTER_OTLP_TIMEOUT`, 10 s)
/// covers all attempts together.
const TRY_WAIT: Duration = Duration::from_secs(5);

/// The outcome of a span, as a metric label.
const SENT: &str = "sent";
const LOST: &str = "lost";

/// Sends spans over OTLP. Logs when that starts to fail and when it works again.
#[derive(Debug)]
pub(super) struct Exporter {
    spans: SpanExporter,
    is_away: AtomicBool,
}

impl Exporter {
    /// Sends to the collector that the environment names. Call it on a tokio runtime, which the
    /// connection then uses.
    ///
    /// # Errors
    /// Why it cannot be set up.
    pub(super) fn new(variables: &Variables) -> Result<Self, String> {
        let client = OnRuntime {
            runtime: Handle::current(),
            client: client(variables.is_secure)?,
        };
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build();
        let spans = spans.map_err(|error| error.to_string())?;
        for outcome in [SENT, LOST] {
            metrics::counter!("astral_trace_spans_total", "outcome" => outcome).increment(0);
        }
        Ok(Self {
            spans,
            is_away: AtomicBool::new(false),
        })
    }

    fn tell(&self, sent: &OTelSdkResult, spans: usize) {
        let outcome = if sent.is_ok() { SENT } else { LOST };
        metrics::counter!("astral_trace_spans_total", "outcome" => outcome).increment(spans as u64);
        let was_away = self.is_away.swap(sent.is_err(), Ordering::Relaxed);
        match sent {
            Err(error) if !was_away => {
                tracing::warn!(%error, "the trace collector does not accept spans; they are lost");
            }
            Ok(()) if was_away => tracing::info!("the trace collector accepts spans again"),
            _ => {}
        }
    }
}

impl Export for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.spans.export(batch).await;
        self.tell(&sent, spans);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.spans.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.spans.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.spans.set_resource(resource);
    }
}

fn client(is_secure: bool) -> Result<Arc<dyn HttpClient>, String> {
    if !is_secure {
        return Ok(Arc::new(HyperClient::with_default_connector(
            TRY_WAIT, None,
        )));
    }
    let roots = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|error| format!("the system's certificates cannot be read: {error}"))?;
    Ok(Arc::new(HyperClient::new(
        roots.https_only().enable_http1().build(),
        TRY_WAIT,
        None,
    )))
}

/// The thread that sends spans has no runtime of its own, so the connection uses that of the
/// process.
#[derive(Debug)]
struct OnRuntime {
    runtime: Handle,
    client: Arc<dyn HttpClient>,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = Arc::clone(&self.client);
        self.runtime
            .spawn(async move { client.send_bytes(request).await })
            .await?
    }
}
