//! The relay and its streams: who feeds each stream, and who reads it.

mod departure;
mod feed;
mod feed_token;
mod hls_players;
mod membership_status;
mod notices;
mod pull_tickets;
mod reader_guard;
mod readers;
mod relay;
mod sent;
mod shared_feed;
mod stream;
mod streams;

pub use departure::ViewersLeave;
pub use feed::{Feed, Origin, Stage, StartedPublish, StartedPull, kept_out};
pub use feed_token::FeedToken;
pub use membership_status::MembershipStatus;
pub use pull_tickets::PullTickets;
pub use reader_guard::ReaderGuard;
pub use readers::ReaderKind;
pub use relay::Relay;
pub use stream::{LET_GO_AFTER, Stream, origin_state};
