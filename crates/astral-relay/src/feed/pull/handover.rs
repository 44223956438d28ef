//! Going over to another provider while the present one still serves: the next link is made before this one is broken.

use super::arrived::Arrived;
use super::link::{Follow, Parted, Wire, fault_of};
use crate::failover_cause::FailoverCause;
use crate::observe::Opening;
use astral_media::record::{RECORD_BYTES_MAX, Record};
use astral_proto::{FrameId, NodeId};
use std::time::Duration;
use tokio::time::Instant;

/// Longest a new link may take to bring what comes next. A provider whose ticket has ended serves on for longer.
const MADE_WITHIN: Duration = Duration::from_secs(2);
/// How much later than the present link a new one may bring a frame: viewers see that once, as a gap.
const BEHIND_MAX: Duration = Duration::from_millis(250);
/// How much a new link may bring in whole records before it takes over, in bytes: as much as a single frame may have, of
/// which one more may have begun to come.
const AHEAD_BYTES_MAX: usize = RECORD_BYTES_MAX;

/// A link that is open, and has brought the next frame or shown that there is none yet.
pub struct Made {
    pub(super) wire: Wire,
    pub(super) arrived: Arrived,
    pub(super) opening: Opening,
}

impl Follow<'_> {
    /// Opens the link, and returns once it can take the place of the one that is followed now.
    pub async fn make(&self) -> Result<Made, Parted> {
        let guarded = self.relay.gate().guard(self.make_in_time()).await;
        guarded.unwrap_or(Err(Parted::Failed(FailoverCause::Drill)))
    }

    async fn make_in_time(&self) -> Result<Made, Parted> {
        let mut opening = Opening::begun(self.episode, self.offer.provider, &self.offer.advertise);
        let mut arrived = Arrived::default();
        let made = self.make_with(&mut opening, &mut arrived).await;
        match made {
            Ok(wire) => Ok(Made {
                wire,
                arrived,
                opening,
            }),
            Err(parted) => {
                opening.broke_off(parted.failure().map(FailoverCause::as_str));
                Err(parted)
            }
        }
    }

    async fn make_with(
        &self,
        opening: &mut Opening,
        arrived: &mut Arrived,
    ) -> Result<Wire, Parted> {
        let until = Instant::now() + MADE_WITHIN;
        let mut wire = self.connect().await?;
        self.agree(&mut wire, &mut arrived.bytes, opening).await?;
        let mut brought = Brought::default();
        loop {
            brought.see(arrived)?;
            if let Some(fault) = fault_of(&brought.path, self.relay.node()) {
                return Err(Parted::Failed(fault));
            }
            let is_late = Instant::now() >= until || arrived.ahead_bytes() > AHEAD_BYTES_MAX;
            let dts = self.stream.log.end_dts();
            if brought.goes_on_from(dts)
                || (is_late && brought.has_all_up_to(self.stream.log.newest()))
            {
                return Ok(wire);
            }
            if is_late {
                return Err(Parted::Failed(FailoverCause::Behind));
            }
            arrived.more(&mut wire).await?;
        }
    }
}

/// What a link has brought so far.
#[derive(Default)]
struct Brought {
    path: Vec<NodeId>,
    /// The newest frame's time, microseconds.
    dts: Option<u64>,
    /// How far the provider was by its last word, if its own upstream was well.
    newest: Option<Option<FrameId>>,
}

impl Brought {
    /// Looks at what has come since.
    fn see(&mut self, arrived: &mut Arrived) -> Result<(), Parted> {
        let seen = arrived.look_ahead(|record| match record {
            Record::Path(path) => self.path.clone_from(path),
            Record::Frame(frame) => self.dts = Some(frame.dts),
            Record::KeepAlive {
                newest,
                upstream_ok,
            } => self.newest = upstream_ok.then_some(*newest),
            _ => {}
        });
        seen.map_err(|_| Parted::Failed(FailoverCause::Malformed))
    }

    /// Whether frames come, and hardly later than by the present link, which has come to `dts`.
    fn goes_on_from(&self, dts: Option<u64>) -> bool {
        self.dts
            .is_some_and(|brought| brought + BEHIND_MAX.as_micros() as u64 >= dts.unwrap_or(0))
    }

    /// Whether the provider has nothing to bring because there is nothing.
    fn has_all_up_to(&self, newest: Option<FrameId>) -> bool {
        self.newest.is_some_and(|told| told >= newest)
    }
}

#[cfg(test)]
mod tests;
