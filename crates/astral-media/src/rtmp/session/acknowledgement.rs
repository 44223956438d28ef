//! Acknowledgements (RTMP 1.0, 5.4.3): a peer is told how many bytes arrived, once per window.

/// The smallest window in use, so that a peer cannot ask for an answer to each byte.
const WINDOW_BYTES_MIN: u32 = 4096;

/// Counts the bytes that arrive. Nothing is sent until the peer sets a window. ffmpeg sets none and
/// does not read acknowledgements. When a program closes a connection on which unread bytes wait,
/// the connection is reset. So acknowledgements would lose the last messages of ffmpeg.
#[derive(Default)]
pub(super) struct Acknowledgement {
    total: u64,
    acknowledged: u64,
    /// Window in bytes; `None` while the peer wants no acknowledgements.
    window: Option<u32>,
}

impl Acknowledgement {
    /// Sets the window. With 0 bytes there are no acknowledgements.
    pub(super) fn set_window(&mut self, bytes: u32) {
        self.window = (bytes > 0).then_some(bytes.max(WINDOW_BYTES_MIN));
    }

    /// Counts `bytes` more. Returns the total, modulo 2³², if it is time to send it.
    pub(super) fn count(&mut self, bytes: usize) -> Option<u32> {
        self.total += bytes as u64;
        if self.total - self.acknowledged < u64::from(self.window?) {
            return None;
        }
        self.acknowledged = self.total;
        Some(self.total as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_sent_once_in_a_window() {
        let mut acknowledgement = Acknowledgement::default();
        acknowledgement.set_window(10_000);
        let sent: Vec<_> = (0..5).map(|_| acknowledgement.count(6_000)).collect();
        assert_eq!(sent, [None, Some(12_000), None, Some(24_000), None]);
    }

    #[test]
    fn the_total_wraps_after_four_gib() {
        let mut acknowledgement = Acknowledgement::default();
        acknowledgement.set_window(2_500_000);
        assert_eq!(acknowledgement.count((1 << 32) - 1), Some(u32::MAX));
        assert_eq!(acknowledgement.count(2_500_000), Some(2_499_999));
    }

    #[test]
    fn without_a_window_there_are_no_acknowledgements() {
        let mut acknowledgement = Acknowledgement::default();
        assert_eq!(acknowledgement.count(1 << 40), None);
        acknowledgement.set_window(10_000);
        acknowledgement.set_window(0);
        assert_eq!(acknowledgement.count(1 << 40), None);
    }

    #[test]
    fn a_window_of_one_byte_is_widened() {
        let mut acknowledgement = Acknowledgement::default();
        acknowledgement.set_window(1);
        assert_eq!(acknowledgement.count(4095), None);
        assert_eq!(acknowledgement.count(1), Some(4096));
    }
}
