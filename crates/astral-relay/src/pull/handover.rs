//! Going over to another provider while the present one still serves: the next link is made before this one is broken.

use super::link::{Follow, Parted, READ_BYTES, Wire};
use crate::observe::Opening;
use astral_media::record::{self, Record};
use astral_proto::limits::LINK_SILENCE;
use astral_proto::{FrameId, NodeId};
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

/// Longest a new link may take to bring what comes next. A provider whose ticket has ended serves on for longer.
const MADE_WITHIN: Duration = Duration::from_secs(2);
/// How much later than the present link a new one may bring a frame: viewers see that once, as a gap.
const BEHIND_MAX: Duration = Duration::from_millis(250);
/// What a new link may bring before the first frame, in bytes.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// A link that is open, and has brought the next frame or shown that there is none yet.
pub struct Made {
    pub(super) wire: Wire,
    pub(super) buffer: BytesMut,
    pub(super) opening: Opening,
}

impl Follow<'_> {
    /// Opens the link, and returns once it can take the place of the one that is followed now.
    pub async fn make(&self) -> Result<Made, Parted> {
        let guarded = self.relay.gate().guard(self.make_in_time()).await;
        guarded.unwrap_or(Err(Parted::Failed("drill")))
    }

    async fn make_in_time(&self) -> Result<Made, Parted> {
        let mut opening = Opening::begun(self.episode, self.offer.provider, &self.offer.advertise);
        let mut buffer = BytesMut::new();
        let made = self.make_with(&mut opening, &mut buffer).await;
        match made {
            Ok(wire) => Ok(Made { wire, buffer, opening }),
            Err(parted) => {
                opening.broke_off(parted.failure());
                Err(parted)
            }
        }
    }

    async fn make_with(&self, opening: &mut Opening, buffer: &mut BytesMut) -> Result<Wire, Parted> {
        let until = Instant::now() + MADE_WITHIN;
        let mut wire = self.connect().await?;
        self.agree(&mut wire, buffer, opening).await?;
        loop {
            let brought = Brought::read(buffer)?;
            if brought.leads_to(self.relay.node()) {
                return Err(Parted::Failed("loop"));
            }
            let is_late = Instant::now() >= until || buffer.len() > BUFFER_BYTES_MAX;
            let dts = self.stream.log.end_dts();
            if brought.goes_on_from(dts) || (is_late && brought.has_all_up_to(self.stream.log.newest())) {
                return Ok(wire);
            }
            if is_late {
                return Err(Parted::Failed("behind"));
            }
            buffer.reserve(READ_BYTES);
            match timeout(LINK_SILENCE, wire.read_buf(buffer)).await {
                Err(_) => return Err(Parted::Failed("silent")),
                Ok(Err(_)) | Ok(Ok(0)) => return Err(Parted::Failed("closed")),
                Ok(Ok(_)) => {}
            }
        }
    }
}

/// What a link has brought so far, which stays in its buffer.
#[derive(Default)]
struct Brought {
    path: Vec<NodeId>,
    /// The newest frame's time, microseconds.
    dts: Option<u64>,
    /// How far the provider was by its last word, if its own upstream was well.
    newest: Option<Option<FrameId>>,
}

impl Brought {
    fn read(buffer: &BytesMut) -> Result<Self, Parted> {
        let (mut rest, mut parameters, mut brought) = (buffer.clone(), None, Self::default());
        while let Some(record) =
            record::read(&mut rest, &mut parameters).map_err(|_| Parted::Failed("malformed"))?
        {
            match record {
                Record::Path(path) => brought.path = path,
                Record::Frame(frame) => brought.dts = Some(frame.dts),
                Record::KeepAlive { newest, upstream_ok } => {
                    brought.newest = upstream_ok.then_some(newest);
                }
                _ => {}
            }
        }
        Ok(brought)
    }

    fn leads_to(&self, node: NodeId) -> bool {
        self.path.contains(&node)
    }

    /// Whether frames come, and hardly later than by the present link, which has come to `dts`.
    fn goes_on_from(&self, dts: Option<u64>) -> bool {
        self.dts.is_some_and(|brought| brought + BEHIND_MAX.as_micros() as u64 >= dts.unwrap_or(0))
    }

    /// Whether the provider has nothing to bring because there is nothing.
    fn has_all_up_to(&self, newest: Option<FrameId>) -> bool {
        self.newest.is_some_and(|told| told >= newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn brought(records: &[Record]) -> Brought {
        let mut buffer = BytesMut::new();
        records.iter().for_each(|record| buffer.extend_from_slice(&record::encode(record)));
        buffer.extend_from_slice(&[0; 2]); // The next record has only begun to come.
        let before = buffer.clone();
        let brought = Brought::read(&buffer).unwrap_or_else(|_| panic!("it is well formed"));
        assert_eq!(buffer, before, "whoever follows the link reads it all");
        brought
    }

    fn frames(number: u32) -> Vec<Record> {
        let gop = vec![Record::Parameters(testing::parameters()), Record::Start(testing::gop_start(3))];
        gop.into_iter().chain((0..=number).map(|number| Record::Frame(testing::frame(3, number)))).collect()
    }

    #[test]
    fn a_link_takes_over_once_its_frames_are_hardly_later() {
        let dts = testing::frame(3, 2).dts;
        assert!(!brought(&frames(1)).goes_on_from(Some(dts)), "0.4 s behind");
        assert!(brought(&frames(1)).goes_on_from(Some(dts - 200_000)));
        assert!(brought(&frames(2)).goes_on_from(Some(dts)));
        assert!(brought(&frames(0)).goes_on_from(None));
        assert!(!brought(&[]).goes_on_from(None), "nothing has come");
    }

    #[test]
    fn a_link_without_frames_takes_over_if_its_provider_has_all_there_is() {
        let newest = Some(FrameId::new(3, 2));
        let told = |newest, upstream_ok| brought(&[Record::KeepAlive { newest, upstream_ok }]);
        assert!(told(newest, true).has_all_up_to(newest));
        assert!(!told(newest, false).has_all_up_to(newest), "it may be far behind soon");
        assert!(!told(Some(FrameId::new(3, 1)), true).has_all_up_to(newest));
        assert!(!brought(&[]).has_all_up_to(newest));
    }

    #[test]
    fn a_link_that_leads_back_here_is_seen_before_the_present_one_is_left() {
        let path = vec![NodeId::random(), NodeId::random()];
        let brought = brought(&[Record::Path(path.clone())]);
        assert!(brought.leads_to(path[0]) && !brought.leads_to(NodeId::random()));
    }

    #[test]
    fn nonsense_is_no_link() {
        let nonsense = BytesMut::from(&[0xff; 64][..]);
        assert!(matches!(Brought::read(&nonsense), Err(Parted::Failed("malformed"))));
    }
}
