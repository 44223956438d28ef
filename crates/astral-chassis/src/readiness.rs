//! Readiness is a latch. A process becomes ready when everything that it waits for has happened
//! once. It then stays ready until the drain, even if an outside system goes away.

use astral_runtime::lock;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard};

/// Shared by all clones of a context.
#[derive(Default)]
pub(crate) struct Readiness {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<u64, &'static str>,
    next_id: u64,
    was_ready: bool,
    draining: bool,
    statuses: BTreeMap<&'static str, String>,
}

/// Something that must happen once before the process is ready. If it is dropped before that, the
/// process never becomes ready.
pub struct ReadyLatch {
    readiness: Arc<Readiness>,
    id: u64,
}

impl ReadyLatch {
    /// Reports that it has happened. A second call does nothing.
    pub fn release(&self) {
        self.readiness.state().waiting.remove(&self.id);
    }
}

impl Readiness {
    pub(crate) fn latch(self: &Arc<Self>, name: &'static str) -> ReadyLatch {
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        state.waiting.insert(id, name);
        ReadyLatch {
            readiness: Arc::clone(self),
            id,
        }
    }

    pub(crate) fn drain(&self) {
        self.state().draining = true;
    }

    pub(crate) fn set_status(&self, name: &'static str, value: String) {
        self.state().statuses.insert(name, value);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state().is_ready()
    }

    /// Whether the process is ready, and lines that say why not and how its dependencies are.
    pub(crate) fn report(&self) -> (bool, String) {
        let mut state = self.state();
        let ready = state.is_ready();
        let mut text = String::from(if ready { "ready\n" } else { "not ready\n" });
        if state.draining {
            text.push_str("draining\n");
        } else if !ready {
            text.extend(
                state
                    .waiting
                    .values()
                    .map(|name| format!("waiting for {name}\n")),
            );
        }
        for (name, value) in &state.statuses {
            writeln!(text, "{name}: {value}").expect("a string takes any text");
        }
        (ready, text)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn is_ready(&mut self) -> bool {
        self.was_ready |= self.waiting.is_empty();
        self.was_ready && !self.draining
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_latch_is_released_and_then_until_the_drain() {
        let readiness = Arc::new(Readiness::default());
        let one = readiness.latch("one");
        let other = readiness.latch("other");
        one.release();
        one.release();
        assert_eq!(
            readiness.report(),
            (false, "not ready\nwaiting for other\n".into())
        );
        other.release();
        assert_eq!(readiness.report(), (true, "ready\n".into()));
        let _late = readiness.latch("late");
        readiness.set_status("control_plane", "away".into());
        assert_eq!(
            readiness.report(),
            (true, "ready\ncontrol_plane: away\n".into())
        );
        readiness.drain();
        assert_eq!(
            readiness.report(),
            (false, "not ready\ndraining\ncontrol_plane: away\n".into())
        );
    }

    #[test]
    fn a_latch_dropped_unreleased_keeps_the_process_unready() {
        let readiness = Arc::new(Readiness::default());
        drop(readiness.latch("registration"));
        assert!(!readiness.is_ready());
    }
}
