//! Who reads a stream here, and what all of them are charged.

use super::hls_players::HlsPlayers;
use super::sent::{self, Sent};
use astral_proto::model::Viewers;
use astral_runtime::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::Instant;

/// The kinds of readers that hold a connection. Each kind is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderKind {
    /// HTTP-FLV viewer.
    Flv,
    /// RTMP viewer.
    Rtmp,
    /// Another relay.
    Link,
}

/// The readers of one kind.
struct Connected {
    count: AtomicU32,
    sent: Sent,
}

impl Connected {
    fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            sent: Sent::new(),
        }
    }

    fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// What these readers are charged, kbit/s. No reader can take more than the stream for long:
    /// what was sent beyond that was sent to catch up.
    fn kbps(&self, whole_kbps: u32) -> u64 {
        let all = u64::from(whole_kbps) * u64::from(self.count());
        self.sent.kbps(whole_kbps, self.count()).min(all)
    }
}

/// Everybody who reads a stream. Methods that take `whole_kbps` want the bitrate of the stream.
pub struct Readers {
    connected: [Connected; 3],
    hls: Mutex<HlsPlayers>,
    sent_over_hls: Sent,
}

impl Readers {
    /// No readers.
    pub fn new() -> Self {
        Self {
            connected: [Connected::new(), Connected::new(), Connected::new()],
            hls: Mutex::default(),
            sent_over_hls: Sent::new(),
        }
    }

    fn of(&self, kind: ReaderKind) -> &Connected {
        &self.connected[kind as usize]
    }

    pub(super) fn join(&self, kind: ReaderKind) {
        let readers = self.of(kind);
        readers.count.fetch_add(1, Ordering::Relaxed);
        readers.sent.join();
    }

    pub(super) fn leave(&self, kind: ReaderKind) {
        self.of(kind).count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts bytes that were sent to a reader that came at `since`.
    pub(super) fn add_sent(&self, kind: ReaderKind, since: Instant, bytes: usize) {
        if sent::counts(since) {
            self.of(kind).sent.add(bytes as u64);
        }
    }

    /// How many readers of this kind are connected.
    pub fn count(&self, kind: ReaderKind) -> u32 {
        self.of(kind).count()
    }

    /// Whether any reader is connected. HLS players hold no connection.
    pub fn is_connected(&self) -> bool {
        self.connected.iter().any(|readers| readers.count() > 0)
    }

    /// Notes that an HLS player has asked for a playlist.
    pub fn see_hls_player(&self, player: u64) {
        lock(&self.hls).see(player);
    }

    /// Whether the player has asked for a playlist in the last seconds.
    pub fn has_hls_player(&self, player: u64) -> bool {
        lock(&self.hls).knows(player)
    }

    /// Notes that so many bytes of media, or of a playlist, were sent to an HLS player.
    pub fn sent_over_hls(&self, player: u64, bytes: u64, is_media: bool) {
        let sent = lock(&self.hls).is_sent(player, is_media);
        if sent.has_begun {
            self.sent_over_hls.join();
        }
        if sent.counts {
            self.sent_over_hls.add(bytes);
        }
    }

    /// The number of viewers, by protocol.
    pub fn viewers(&self) -> Viewers {
        Viewers {
            flv: self.count(ReaderKind::Flv),
            rtmp: self.count(ReaderKind::Rtmp),
            hls: lock(&self.hls).count(),
        }
    }

    /// What is sent to viewers, kbit/s.
    pub fn viewers_kbps(&self, whole_kbps: u32) -> u64 {
        let watching = lock(&self.hls).watching();
        let over_hls = self.sent_over_hls.kbps(whole_kbps, watching);
        let flv = self.of(ReaderKind::Flv).kbps(whole_kbps);
        let rtmp = self.of(ReaderKind::Rtmp).kbps(whole_kbps);
        over_hls + flv + rtmp
    }

    /// What is sent over relay links, kbit/s.
    pub fn links_kbps(&self, whole_kbps: u32) -> u64 {
        self.of(ReaderKind::Link).kbps(whole_kbps)
    }

    /// What HLS players that were admitted just now are about to be sent, kbit/s.
    pub fn awaited_kbps(&self, whole_kbps: u32) -> u64 {
        u64::from(whole_kbps) * u64::from(lock(&self.hls).awaited())
    }

    /// Forgets HLS players that have gone, and notes what has been sent. Call it once a second.
    pub fn tidy(&self) {
        lock(&self.hls).forget_gone();
        self.sent_over_hls.step();
        self.connected
            .iter()
            .for_each(|readers| readers.sent.step());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{ReaderGuard, Relay, Stream};
    use crate::testing;
    use astral_media::frame::Media;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::sleep;

    const SECOND: Duration = Duration::from_secs(1);

    /// A stream of 20 kbit/s at a relay that may send twice as much.
    fn small_relay() -> (Relay, Arc<Stream>) {
        let relay = testing::relay();
        let stream = relay
            .streams()
            .find_or_add(&"demo".parse().unwrap())
            .unwrap();
        let frames = (0..5).map(|number| Media::Frame(testing::frame(0, number)));
        let whole = [Media::Start(testing::gop_start(0))]
            .into_iter()
            .chain(frames);
        stream
            .log
            .append(whole.chain([Media::End(testing::gop_end(0))]))
            .unwrap();
        assert_eq!(stream.whole_kbps(), 20);
        relay.set_limit_kbps(40);
        (relay, stream)
    }

    fn viewers_kbps(stream: &Stream) -> u64 {
        stream.readers.viewers_kbps(stream.whole_kbps())
    }

    #[tokio::test(start_paused = true)]
    async fn a_player_that_asks_only_for_playlists_takes_no_room_after_two_seconds() {
        let (relay, stream) = small_relay();
        (1..=2).for_each(|player| stream.readers.see_hls_player(player));
        stream.readers.sent_over_hls(1, 500, false);
        assert!(
            relay.check_room_for_viewer(&stream).is_err(),
            "both are about to be sent the stream"
        );
        assert!(
            relay.has_room_for_link(&stream, false),
            "a ticket was promised its room"
        );
        assert_eq!(viewers_kbps(&stream), 0, "nothing but a playlist is sent");
        sleep(2 * SECOND).await;
        assert!(relay.check_room_for_viewer(&stream).is_ok());
        assert_eq!(
            stream.readers.viewers().hls,
            2,
            "they are known as players for longer"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_player_that_catches_up_at_first_is_charged_the_bitrate_and_what_it_takes_later() {
        let (_relay, stream) = small_relay();
        stream.readers.see_hls_player(1);
        (0..5).for_each(|_| stream.readers.sent_over_hls(1, 5_000, true));
        let mut charges = Vec::new();
        for second in 0..40 {
            sleep(SECOND).await;
            stream.readers.see_hls_player(1);
            if second % 2 == 1 {
                stream.readers.sent_over_hls(1, 5_000, true);
            }
            stream.readers.tidy();
            charges.push(viewers_kbps(&stream));
        }
        assert!(
            charges.iter().all(|kbps| (16..=26).contains(kbps)),
            "{charges:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn players_behind_one_address_are_charged_what_they_take_together() {
        let (_relay, stream) = small_relay();
        for _ in 0..40 {
            sleep(SECOND).await;
            stream.readers.see_hls_player(1);
            stream.readers.sent_over_hls(1, 25_000, true);
            stream.readers.tidy();
        }
        assert!(
            (190..=210).contains(&viewers_kbps(&stream)),
            "{}",
            viewers_kbps(&stream)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_whose_line_is_slow_is_charged_what_it_takes() {
        let (relay, stream) = small_relay();
        let viewers =
            [ReaderKind::Flv, ReaderKind::Rtmp].map(|kind| ReaderGuard::new(&stream, kind));
        assert!(
            relay.check_room_for_viewer(&stream).is_err(),
            "each may take all of the stream"
        );
        for _ in 0..30 {
            sleep(SECOND).await;
            viewers.iter().for_each(|viewer| viewer.sent(1_000));
            stream.readers.tidy();
        }
        assert!(
            (14..=18).contains(&viewers_kbps(&stream)),
            "{}",
            viewers_kbps(&stream)
        );
        assert!(relay.check_room_for_viewer(&stream).is_ok());
        drop(viewers);
        assert_eq!(viewers_kbps(&stream), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_catches_up_is_charged_no_more_than_the_stream() {
        let (_relay, stream) = small_relay();
        let link = ReaderGuard::new(&stream, ReaderKind::Link);
        sleep(11 * SECOND).await;
        link.sent(1_000_000);
        assert_eq!(stream.readers.links_kbps(stream.whole_kbps()), 20);
    }
}
