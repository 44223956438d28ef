//! What serving one kind of request has come to.

use astral_proto::Problem;
use astral_runtime::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts requests of one kind.
#[derive(Default)]
pub(super) struct Meter {
    requests: AtomicU64,
    errors: AtomicU64,
    nanoseconds: AtomicU64,
    last_error: Mutex<String>,
}

/// A meter as read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) nanoseconds: u64,
    pub(super) last_error: String,
}

impl Meter {
    /// Takes in one request that was answered after `took`.
    pub(super) fn count(&self, took: Duration, problem: Option<&Problem>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds
            .fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        if let Some(problem) = problem {
            self.errors.fetch_add(1, Ordering::Relaxed);
            // The code alone: the detail may quote what a caller sent.
            *lock(&self.last_error) = problem.code.as_str().into();
        }
    }

    pub(super) fn read(&self) -> Reading {
        Reading {
            requests: self.requests.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            nanoseconds: self.nanoseconds.load(Ordering::Relaxed),
            last_error: lock(&self.last_error).clone(),
        }
    }
}
