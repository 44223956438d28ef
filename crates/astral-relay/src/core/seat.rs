//! Who feeds a stream.

use super::stream::Stream;
use crate::sync::lock;
use astral_proto::message::FenceReason;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Who may append to a stream's log. Taking the seat cancels whoever had it.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Cancelled when somebody else takes the seat, or the stream is let go.
    pub taken: CancellationToken,
    kind: SeatKind,
    /// Why it was taken, if somebody said so before it was.
    why: Arc<OnceLock<FenceReason>>,
}

impl Seat {
    fn new(kind: SeatKind) -> Self {
        Self {
            taken: CancellationToken::new(),
            kind,
            why: Arc::default(),
        }
    }

    /// Why it was taken.
    pub fn why_taken(&self) -> FenceReason {
        self.why.get().copied().unwrap_or_default()
    }
}

/// What feeds a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatKind {
    /// A publisher, here or in its grace window.
    Origin,
    /// A link from a provider.
    Pull,
}

impl Stream {
    /// Takes the seat, whoever had it.
    pub fn take_seat(&self, kind: SeatKind) -> Seat {
        self.take_seat_because(kind, FenceReason::TakenOver)
    }

    /// Takes the seat, and has whoever had it hear why.
    pub fn take_seat_because(&self, kind: SeatKind, why: FenceReason) -> Seat {
        let seat = Seat::new(kind);
        if let Some(before) = lock(&self.seat).replace(seat.clone()) {
            before.why.get_or_init(|| why);
            before.taken.cancel();
        }
        seat
    }

    /// Takes the seat to pull, unless something feeds the stream already.
    pub fn take_free_seat(&self) -> Option<Seat> {
        let mut seat = lock(&self.seat);
        let free = seat.as_ref().is_none_or(|seat| seat.taken.is_cancelled());
        free.then(|| {
            let new = Seat::new(SeatKind::Pull);
            *seat = Some(new.clone());
            new
        })
    }

    /// Empties the seat, if `seat` still has it.
    pub fn leave_seat(&self, seat: &Seat) {
        seat.taken.cancel();
    }

    /// What feeds the stream now.
    pub fn fed_by(&self) -> Option<SeatKind> {
        lock(&self.seat)
            .as_ref()
            .filter(|seat| !seat.taken.is_cancelled())
            .map(|seat| seat.kind)
    }

    /// Cancels whatever feeds the stream.
    pub fn unseat(&self) {
        if let Some(seat) = lock(&self.seat).take() {
            seat.taken.cancel();
        }
    }
}
