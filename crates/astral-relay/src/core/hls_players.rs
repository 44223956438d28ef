//! HLS players. They hold no connection: they are identified by their requests, and have gone when
//! these stop.

use super::sent;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// A player that has asked for no playlist for this long has gone.
const GONE_AFTER: Duration = Duration::from_secs(10);
/// A player that was admitted is expected to ask for media within this time. One that asks only for
/// playlists takes no room.
const AWAITED_FOR: Duration = Duration::from_secs(2);
/// Most players that are counted on one stream of one relay. Further ones are not counted.
const PLAYERS_MAX: usize = 65_536;

struct Player {
    /// When it was admitted.
    since: Instant,
    /// When it last asked for a playlist.
    seen: Instant,
    /// Since when it is sent media; None until it asks for media.
    watches_since: Option<Instant>,
}

/// What to note about bytes that were sent to a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsSent {
    /// Whether this is its first media.
    pub has_begun: bool,
    /// Whether the bytes are counted.
    pub counts: bool,
}

/// The players of one stream.
#[derive(Default)]
pub struct HlsPlayers {
    players: HashMap<u64, Player>,
}

impl HlsPlayers {
    /// Notes that a player has asked for a playlist.
    pub fn see(&mut self, player: u64) {
        let now = Instant::now();
        if let Some(known) = self.players.get_mut(&player) {
            known.seen = now;
        } else if self.players.len() < PLAYERS_MAX {
            self.players.insert(
                player,
                Player {
                    since: now,
                    seen: now,
                    watches_since: None,
                },
            );
        }
    }

    /// Whether a player has asked for a playlist and has not gone.
    pub fn knows(&self, player: u64) -> bool {
        self.players.contains_key(&player)
    }

    /// Forgets players that have gone.
    pub fn forget_gone(&mut self) {
        self.players
            .retain(|_, player| player.seen.elapsed() < GONE_AFTER);
    }

    /// Notes that a player was sent something. What is sent to a player that never asked for a
    /// playlist here counts at once.
    pub fn is_sent(&mut self, player: u64, is_media: bool) -> IsSent {
        let Some(player) = self.players.get_mut(&player) else {
            return IsSent {
                has_begun: false,
                counts: true,
            };
        };
        let has_begun = is_media && player.watches_since.is_none();
        if has_begun {
            player.watches_since = Some(Instant::now());
        }
        IsSent {
            has_begun,
            counts: player.watches_since.is_none_or(sent::counts),
        }
    }

    /// The number of players.
    pub fn count(&self) -> u32 {
        self.players
            .values()
            .filter(|player| player.seen.elapsed() < GONE_AFTER)
            .count() as u32
    }

    /// The number of players that are sent media.
    pub fn watching(&self) -> u32 {
        let watches =
            |player: &&Player| player.watches_since.is_some() && player.seen.elapsed() < GONE_AFTER;
        self.players.values().filter(watches).count() as u32
    }

    /// The number of players that were admitted just now and have not asked for media yet.
    pub fn awaited(&self) -> u32 {
        let is_awaited = |player: &&Player| {
            player.watches_since.is_none() && player.since.elapsed() < AWAITED_FOR
        };
        self.players.values().filter(is_awaited).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn a_player_is_awaited_for_two_seconds_or_until_it_asks_for_media() {
        let mut players = HlsPlayers::default();
        players.see(1);
        players.see(2);
        assert_eq!((players.awaited(), players.watching()), (2, 0));
        assert_eq!(
            players.is_sent(1, true),
            IsSent {
                has_begun: true,
                counts: false
            }
        );
        assert_eq!(
            players.is_sent(1, true),
            IsSent {
                has_begun: false,
                counts: false
            }
        );
        assert_eq!((players.awaited(), players.watching()), (1, 1));
        sleep(AWAITED_FOR).await;
        assert_eq!(
            (players.awaited(), players.watching(), players.count()),
            (0, 1, 2)
        );
        sleep(GONE_AFTER).await;
        players.forget_gone();
        assert_eq!((players.count(), players.knows(1)), (0, false));
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_unknown_player_is_sent_counts_at_once() {
        let mut players = HlsPlayers::default();
        assert_eq!(
            players.is_sent(1, true),
            IsSent {
                has_begun: false,
                counts: true
            }
        );
    }
}
