//! The limits that several parts must agree on. A limit of one part is in that part.

use crate::Kbps;
use std::time::Duration;

/// The longest GOP. A longer one is cut into pieces of the stream's target duration.
pub const TARGET_DURATION_MAX: Duration = Duration::from_secs(10);
/// The target duration of a stream with shorter GOPs.
pub const TARGET_DURATION_MIN: Duration = Duration::from_secs(4);
/// The time between two heartbeats of a node.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// How long a node, a stream or a ticket lives without being renewed: three heartbeats.
pub const LEASE: Duration = Duration::from_secs(6);
/// How long an offered ticket reserves capacity before it is confirmed.
pub const OFFER: Duration = Duration::from_secs(5);
/// How long a signed ticket can open a link.
pub const TICKET_VALIDITY: Duration = Duration::from_secs(600);
/// How far the clocks of a broker and a provider may differ, in either direction, before tickets are refused.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
/// A ticket that expires sooner than this is signed again.
pub const TICKET_RESIGN: Duration = Duration::from_secs(300);
/// A publisher that returns within this time resumes its stream.
pub const PUBLISHER_GRACE: Duration = Duration::from_secs(10);
/// A publisher that sent media this recently is not replaced by a second one.
pub const PUBLISHER_ALIVE: Duration = Duration::from_secs(2);
/// A provider sends something on each link at least this often.
pub const KEEP_ALIVE: Duration = Duration::from_millis(100);
/// A link that has been silent for this long is dead.
pub const LINK_SILENCE: Duration = Duration::from_millis(500);
/// A subscriber leaves a provider that has reported a lost upstream for this long.
pub const UPSTREAM_LOST: Duration = Duration::from_secs(1);
/// What a ticket reserves while the bitrate of its stream is unknown.
pub const UNKNOWN_KBPS: Kbps = Kbps::new(4_000);
/// The largest number of relay links between an origin and a relay.
pub const HOPS_MAX: u32 = 16;
/// How many nodes a supernode admits by default.
pub const CHILDREN_MAX: usize = 100;
/// The largest number of supernodes that a node is asked to measure at once, and that it reports.
pub const LANDMARKS_MAX: usize = 8;
/// The largest JSON payload on the bus, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The largest access unit of one frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 8 << 20;
/// Most items on a page of a list.
pub const PAGE_ITEMS_MAX: u32 = 1_000;
/// Longest drill, in seconds.
pub const DRILL_SECONDS_MAX: u32 = 600;
