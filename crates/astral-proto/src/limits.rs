//! The numbers that parts must agree on. Limits of one part alone stand in that part.

use std::time::Duration;

/// Longest a GOP may be; a longer one is cut into pieces of the stream's target duration.
pub const TARGET_DURATION_MAX: Duration = Duration::from_secs(10);
/// Target duration of a stream whose keyframes come more often than that.
pub const TARGET_DURATION_MIN: Duration = Duration::from_secs(4);
/// Between two heartbeats of a node.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// A node, stream or ticket not renewed for this long is gone: three heartbeats missed.
pub const LEASE: Duration = Duration::from_secs(6);
/// An offered ticket that is not confirmed by then is released.
pub const OFFER: Duration = Duration::from_secs(5);
/// How long a signed ticket opens a link.
pub const TICKET_VALIDITY: Duration = Duration::from_secs(600);
/// How far the clocks of a broker and a provider may differ, either way, before tickets are refused.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
/// A ticket with less validity left than this is signed again.
pub const TICKET_RESIGN: Duration = Duration::from_secs(300);
/// A publisher that is back within this window resumes its stream.
pub const PUBLISHER_GRACE: Duration = Duration::from_secs(10);
/// An origin that had media this recently keeps its publisher against a second one.
pub const PUBLISHER_ALIVE: Duration = Duration::from_secs(2);
/// On the relay link something is sent at least this often.
pub const KEEP_ALIVE: Duration = Duration::from_millis(100);
/// A link on which nothing came for this long is dead.
pub const LINK_SILENCE: Duration = Duration::from_millis(500);
/// A provider that says it has lost its upstream for this long is left.
pub const UPSTREAM_LOST: Duration = Duration::from_secs(1);
/// What a ticket reserves while the bitrate of its stream is not known, in kbit/s.
pub const UNKNOWN_KBPS: u32 = 4_000;
/// Most relay links between an origin and a relay.
pub const HOPS_MAX: u32 = 16;
/// Children a supernode admits unless told otherwise.
pub const CHILDREN_MAX: usize = 100;
/// Most supernodes that a node is told at once to measure the way to, and that it tells of.
pub const LANDMARKS_MAX: usize = 8;
/// Largest JSON payload on the bus, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Largest access unit of one frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 8 << 20;
/// Most items on a page of a list.
pub const PAGE_ITEMS_MAX: u32 = 1_000;
/// Longest drill, in seconds.
pub const DRILL_SECONDS_MAX: u32 = 600;
