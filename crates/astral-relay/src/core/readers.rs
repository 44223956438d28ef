//! Who reads a stream here, and what all of them are charged.

use super::hls_players::HlsPlayers;
use super::sent::{self, Sent};
use super::stream::Stream;
use crate::sync::lock;
use astral_proto::model::Viewers;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::Instant;

/// Which count a reader stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderKind {
    /// HTTP-FLV viewer.
    Flv,
    /// RTMP viewer.
    Rtmp,
    /// Another relay.
    Link,
}

/// Readers that hold a connection of their own, of one kind.
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

    /// What they are charged, kbit/s. None can take more than the stream for long: what is over that was sent to catch up.
    fn kbps(&self, whole_kbps: u32) -> u64 {
        let all = u64::from(whole_kbps) * u64::from(self.count());
        self.sent.kbps(whole_kbps, self.count()).min(all)
    }
}

/// Everybody who reads a stream.
pub struct Readers {
    connected: [Connected; 3],
    hls: Mutex<HlsPlayers>,
    sent_over_hls: Sent,
}

impl Readers {
    /// Nobody.
    pub fn new() -> Self {
        let connected = [Connected::new(), Connected::new(), Connected::new()];
        Self {
            connected,
            hls: Mutex::default(),
            sent_over_hls: Sent::new(),
        }
    }

    fn of(&self, kind: ReaderKind) -> &Connected {
        &self.connected[kind as usize]
    }
}

impl Stream {
    /// Counts a reader until the guard is dropped.
    pub fn count_reader(self: &Arc<Self>, kind: ReaderKind) -> ReaderGuard {
        let readers = self.readers.of(kind);
        readers.count.fetch_add(1, Ordering::Relaxed);
        readers.sent.join();
        ReaderGuard {
            stream: self.clone(),
            kind,
            since: Instant::now(),
        }
    }

    /// How many read here over a connection of their own.
    pub fn count(&self, kind: ReaderKind) -> u32 {
        self.readers.of(kind).count()
    }

    /// Whether anybody reads here over a connection of their own.
    pub fn is_read(&self) -> bool {
        self.readers
            .connected
            .iter()
            .any(|readers| readers.count() > 0)
    }

    /// A player has asked for a playlist.
    pub fn see_hls_player(&self, player: u64) {
        self.touch();
        lock(&self.readers.hls).see(player);
    }

    /// Whether a player has asked for a playlist lately.
    pub fn has_hls_player(&self, player: u64) -> bool {
        lock(&self.readers.hls).knows(player)
    }

    /// A player was sent so many bytes, of media or of a playlist.
    pub fn sent_over_hls(&self, player: u64, bytes: u64, is_media: bool) {
        let sent = lock(&self.readers.hls).is_sent(player, is_media);
        if sent.has_begun {
            self.readers.sent_over_hls.join();
        }
        if sent.counts {
            self.readers.sent_over_hls.add(bytes);
        }
    }

    /// Who watches here.
    pub fn viewers(&self) -> Viewers {
        Viewers {
            flv: self.count(ReaderKind::Flv),
            rtmp: self.count(ReaderKind::Rtmp),
            hls: lock(&self.readers.hls).count(),
        }
    }

    /// What one more reader is charged, kbit/s: the bitrate, or what it is at least while it is not known.
    pub fn whole_kbps(&self) -> u32 {
        self.log.kbps_so_far()
    }

    /// What is sent to viewers, kbit/s.
    pub fn viewers_kbps(&self) -> u64 {
        let whole = self.whole_kbps();
        let over_hls = self
            .readers
            .sent_over_hls
            .kbps(whole, lock(&self.readers.hls).watching());
        let connected =
            [ReaderKind::Flv, ReaderKind::Rtmp].map(|kind| self.readers.of(kind).kbps(whole));
        over_hls + connected.iter().sum::<u64>()
    }

    /// What is sent over relay links, kbit/s.
    pub fn links_kbps(&self) -> u64 {
        self.readers.of(ReaderKind::Link).kbps(self.whole_kbps())
    }

    /// What HLS players that were let in just now are about to be sent, kbit/s.
    pub fn awaited_kbps(&self) -> u64 {
        u64::from(self.whole_kbps()) * u64::from(lock(&self.readers.hls).awaited())
    }

    /// Forgets HLS players that have gone, and notes what has been sent. To be called about once a second.
    pub fn tidy_readers(&self) {
        lock(&self.readers.hls).forget_gone();
        self.readers.sent_over_hls.step();
        self.readers
            .connected
            .iter()
            .for_each(|readers| readers.sent.step());
    }
}

/// A reader that counts while it lives.
pub struct ReaderGuard {
    stream: Arc<Stream>,
    kind: ReaderKind,
    since: Instant,
}

impl ReaderGuard {
    /// What it reads.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// It was sent so many bytes.
    pub fn sent(&self, bytes: usize) {
        if sent::counts(self.since) {
            self.stream.readers.of(self.kind).sent.add(bytes as u64);
        }
    }
}

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.stream
            .readers
            .of(self.kind)
            .count
            .fetch_sub(1, Ordering::Relaxed);
        self.stream.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Relay;
    use crate::testing;
    use astral_media::frame::Media;
    use std::time::Duration;
    use tokio::time::sleep;

    const SECOND: Duration = Duration::from_secs(1);

    /// A stream of 20 kbit/s at a relay that may send twice as much.
    fn small_relay() -> (Relay, Arc<Stream>) {
        let relay = testing::relay();
        let stream = relay.find_or_add(&"demo".parse().unwrap()).unwrap();
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

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_a_playlist_and_nothing_more_takes_no_room_soon_after() {
        let (relay, stream) = small_relay();
        (1..=2).for_each(|player| stream.see_hls_player(player));
        stream.sent_over_hls(1, 500, false);
        assert!(
            !relay.has_room_for_viewer(&stream),
            "both are about to be sent the stream"
        );
        assert!(
            relay.has_room(&stream, false),
            "a ticket was promised its room"
        );
        assert_eq!(stream.viewers_kbps(), 0, "nothing but a playlist is sent");
        sleep(2 * SECOND).await;
        assert!(relay.has_room_for_viewer(&stream));
        assert_eq!(
            stream.viewers().hls,
            2,
            "they are known as players for longer"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_player_that_catches_up_at_first_is_charged_the_bitrate_and_what_it_takes_later() {
        let (_relay, stream) = small_relay();
        stream.see_hls_player(1);
        (0..5).for_each(|_| stream.sent_over_hls(1, 5_000, true));
        let mut charges = Vec::new();
        for second in 0..40 {
            sleep(SECOND).await;
            stream.see_hls_player(1);
            if second % 2 == 1 {
                stream.sent_over_hls(1, 5_000, true);
            }
            stream.tidy_readers();
            charges.push(stream.viewers_kbps());
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
            stream.see_hls_player(1);
            stream.sent_over_hls(1, 25_000, true);
            stream.tidy_readers();
        }
        assert!(
            (190..=210).contains(&stream.viewers_kbps()),
            "{}",
            stream.viewers_kbps()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_whose_line_is_slow_is_charged_what_it_takes() {
        let (relay, stream) = small_relay();
        let viewers = [ReaderKind::Flv, ReaderKind::Rtmp].map(|kind| stream.count_reader(kind));
        assert!(
            !relay.has_room_for_viewer(&stream),
            "each may take all of the stream"
        );
        for _ in 0..30 {
            sleep(SECOND).await;
            viewers.iter().for_each(|viewer| viewer.sent(1_000));
            stream.tidy_readers();
        }
        assert!(
            (14..=18).contains(&stream.viewers_kbps()),
            "{}",
            stream.viewers_kbps()
        );
        assert!(relay.has_room_for_viewer(&stream));
        drop(viewers);
        assert_eq!(stream.viewers_kbps(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_catches_up_is_charged_no_more_than_the_stream() {
        let (_relay, stream) = small_relay();
        let link = stream.count_reader(ReaderKind::Link);
        sleep(11 * SECOND).await;
        link.sent(1_000_000);
        assert_eq!(stream.links_kbps(), 20);
    }
}
