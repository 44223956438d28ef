//! How much upstream bandwidth this node lends: what its owner sets, or a share of what it measures
//! to the gateway.

use crate::client::Client;
use astral_proto::Problem;
use astral_relay::Relay;
use astral_runtime::LogThrottle;
use bytes::Bytes;
use http::Method;
use rand::RngCore;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Sizes of the probes, in order. The first ones find a slow link without filling it for long. The
/// last one is long enough to measure a fast link, and the largest that the gateway accepts.
const PROBES: [usize; 4] = [64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// A probe that takes this long has measured the link.
const LONG_ENOUGH: Duration = Duration::from_secs(1);
/// Longest time for one probe.
const PROBE_WAIT: Duration = Duration::from_secs(10);
/// The share of the measured bandwidth that is lent, in per cent. A link that is completely full
/// delays everything on it, also heartbeats, and the next moment may have less bandwidth.
const SHARE_PERCENT: u64 = 80;
/// First wait after a failed measurement. It doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The source of the upstream limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Its owner has set it.
    Told,
    /// None yet: it is being measured.
    Measuring,
    /// A share of the measured bandwidth.
    Measured,
}

/// What is known about the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Upstream {
    /// Where the limit comes from.
    pub source: Source,
    /// The highest result of a probe so far, in kbit/s.
    pub measured_kbps: Option<u32>,
}

/// The upstream limit of one relay.
#[derive(Clone)]
pub struct Limit {
    relay: Relay,
    state: watch::Sender<Upstream>,
}

impl Limit {
    /// The limit of `relay`, which is set already or will be measured.
    pub fn new(relay: Relay, told: bool) -> Self {
        let source = if told {
            Source::Told
        } else {
            Source::Measuring
        };
        Self {
            relay,
            state: watch::Sender::new(Upstream {
                source,
                measured_kbps: None,
            }),
        }
    }

    /// Returns what is known about it.
    pub fn upstream(&self) -> Upstream {
        *self.state.borrow()
    }

    /// Sets the limit that the owner wants, in kbit/s.
    pub fn tell(&self, kbps: u32) {
        self.relay.set_limit_kbps(kbps);
        self.state.send_modify(|state| state.source = Source::Told);
        tracing::info!(
            upstream_limit_kbps = kbps,
            "upstream limit changed by the owner"
        );
    }

    /// Returns when the limit is known: at once if it was set, else when it has been measured or
    /// set in the meantime.
    pub async fn settle(&self, client: &Client) {
        let mut state = self.state.subscribe();
        let told = async {
            if state
                .wait_for(|state| state.source == Source::Told)
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = told => {}
            () = self.measure_until_it_works(client) => {}
        }
    }

    async fn measure_until_it_works(&self, client: &Client) {
        let mut retry = RETRY_MIN;
        let troubles = LogThrottle::new();
        loop {
            match self.measure(client).await {
                Ok(kbps) => return self.lend_share(kbps),
                Err(problem) => {
                    if let Some(times) = troubles.occurred(problem.code.as_str()) {
                        tracing::warn!(%problem, times, "upstream bandwidth not measured, trying again; --upstream-limit sets it");
                    }
                }
            }
            sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    fn lend_share(&self, measured_kbps: u32) {
        let lent = share_of(measured_kbps);
        let measuring = |state: &mut Upstream| {
            let still = state.source == Source::Measuring;
            if still {
                self.relay.set_limit_kbps(lent);
                state.source = Source::Measured;
            }
            still
        };
        if self.state.send_if_modified(measuring) {
            tracing::info!(
                measured_kbps,
                upstream_limit_kbps = lent,
                "upstream measured"
            );
        }
    }

    /// Measures with one probe; returns kbit/s.
    async fn measure(&self, client: &Client) -> Result<u32, Problem> {
        // Opens the connection first, so that no probe pays for that.
        probe(client, Bytes::new()).await?;
        let noise = noise();
        let mut most = 0;
        for bytes in PROBES {
            let began = Instant::now();
            match probe(client, noise.slice(..bytes)).await {
                Ok(()) => {}
                Err(_) if most > 0 => break,
                Err(problem) => return Err(problem),
            }
            let took = began.elapsed();
            most = most.max(kbps(bytes, took));
            tracing::info!(
                bytes,
                took_ms = took.as_millis() as u64,
                measured_kbps = most,
                "upstream probed"
            );
            self.state
                .send_modify(|state| state.measured_kbps = Some(most));
            if took >= LONG_ENOUGH {
                break;
            }
        }
        Ok(most)
    }
}

async fn probe(client: &Client, body: Bytes) -> Result<(), Problem> {
    client
        .send(Method::POST, "/v1/ping", body, PROBE_WAIT)
        .await
        .map(drop)
}

/// Bytes that nothing on the path can compress.
fn noise() -> Bytes {
    let mut bytes = vec![0; PROBES[PROBES.len() - 1]];
    rand::rng().fill_bytes(&mut bytes);
    bytes.into()
}

fn kbps(bytes: usize, took: Duration) -> u32 {
    let micros = took.as_micros().max(1);
    u32::try_from(bytes as u128 * 8_000 / micros).unwrap_or(u32::MAX)
}

fn share_of(kbps: u32) -> u32 {
    // A share of a u32 fits into a u32.
    (u64::from(kbps) * SHARE_PERCENT / 100) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fifths_of_what_a_probe_shows_are_lent() {
        assert_eq!(kbps(1 << 20, Duration::from_secs(1)), 8_388);
        assert_eq!(kbps(usize::MAX, Duration::ZERO), u32::MAX);
        assert_eq!(share_of(10_000), 8_000);
        assert_eq!(share_of(u32::MAX), 3_435_973_836);
    }
}
