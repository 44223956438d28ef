//! Moving to another provider while the present one still serves.
//!
//! Unlike a failover, a move has time. So the next link is opened beside the present one, and takes
//! over only when it brings a frame that is not much later than what the present link has brought,
//! or when it shows that there is nothing newer. Until then the present link goes on serving, and
//! viewers notice nothing. If the new link is not ready in time, the relay stays where it is.

use super::arrived::Arrived;
use super::connection::Wire;
use super::link::{Link, fault_of};
use super::link_end::LinkEnd;
use super::ready_link::ReadyLink;
use crate::failover_cause::FailoverCause;
use crate::observe::LinkSpan;
use astral_media::record::{RECORD_BYTES_MAX, Record};
use astral_proto::{FrameId, NodeId};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time until a new link must be ready. A provider whose ticket has ended serves on for
/// longer than this.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// How much later than the present link a new one may bring a frame. Viewers see this once, as a
/// short gap.
const BEHIND_MAX: Duration = Duration::from_millis(250);
/// How much a new link may bring before it takes over, in bytes: the largest record, because the
/// next one may have begun to arrive behind it.
const AHEAD_BYTES_MAX: usize = RECORD_BYTES_MAX;

/// Opens `link`, and waits until it can replace the present one.
///
/// # Errors
/// Why it cannot: as for any link, or `Failed` with [`FailoverCause::Behind`] if it was not ready
/// in time.
pub async fn prepare(link: &Link<'_>) -> Result<ReadyLink, LinkEnd> {
    let guarded = link.relay.gate().guard(prepare_traced(link)).await;
    guarded.unwrap_or(Err(LinkEnd::Failed(FailoverCause::Drill)))
}

async fn prepare_traced(link: &Link<'_>) -> Result<ReadyLink, LinkEnd> {
    let mut span = link.start_span();
    let mut arrived = Arrived::default();
    match open(link, &span, &mut arrived).await {
        Ok(wire) => Ok(ReadyLink {
            wire,
            arrived,
            span,
        }),
        Err(link_end) => {
            span.broke_off(link_end.cause().map(FailoverCause::as_str));
            Err(link_end)
        }
    }
}

async fn open(link: &Link<'_>, span: &LinkSpan, arrived: &mut Arrived) -> Result<Wire, LinkEnd> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut wire = link.connect().await?;
    link.ask(&mut wire, arrived, span).await?;
    let mut brought = Brought::default();
    loop {
        brought.see(arrived)?;
        if let Some(fault) = fault_of(&brought.path, link.relay.node()) {
            return Err(LinkEnd::Failed(fault));
        }
        if brought.continues(link.stream.log.end_dts()) {
            return Ok(wire);
        }
        if Instant::now() >= deadline || arrived.ahead_bytes() > AHEAD_BYTES_MAX {
            // No frame has come in time. That is no fault if the provider has none: the publisher
            // pauses.
            let newest = link.stream.log.newest();
            return if brought.has_all_up_to(newest) {
                Ok(wire)
            } else {
                Err(LinkEnd::Failed(FailoverCause::Behind))
            };
        }
        arrived.more(&mut wire).await?;
    }
}

/// What a link has brought so far.
#[derive(Default)]
struct Brought {
    path: Vec<NodeId>,
    /// The time of the newest frame, microseconds.
    dts: Option<u64>,
    /// The newest frame of the provider by its last keep-alive; None if it had lost its own
    /// upstream.
    newest: Option<Option<FrameId>>,
}

impl Brought {
    /// Looks at what has arrived since the last call.
    fn see(&mut self, arrived: &mut Arrived) -> Result<(), LinkEnd> {
        let seen = arrived.look_ahead(|record| match record {
            Record::Path(path) => self.path.clone_from(path),
            Record::Frame(frame) => self.dts = Some(frame.dts),
            Record::KeepAlive {
                newest,
                upstream_ok,
            } => self.newest = upstream_ok.then_some(*newest),
            _ => {}
        });
        seen.map_err(|_| LinkEnd::Failed(FailoverCause::Malformed))
    }

    /// Whether frames arrive, and not much later than by the present link, which has come to `dts`.
    fn continues(&self, dts: Option<u64>) -> bool {
        self.dts
            .is_some_and(|brought| brought + BEHIND_MAX.as_micros() as u64 >= dts.unwrap_or(0))
    }

    /// Whether the provider has everything up to `newest`, and so brings nothing because there is
    /// nothing more.
    fn has_all_up_to(&self, newest: Option<FrameId>) -> bool {
        self.newest.is_some_and(|told| told >= newest)
    }
}

#[cfg(test)]
mod tests;
