//! Drills: the media sockets of a relay fail on purpose, to show that the network copes with it.

use astral_proto::model::Fault;
use std::{future::Future, pin::pin, time::Duration};
use tokio::sync::watch;

/// Wraps every task that owns a media socket.
#[derive(Clone)]
pub struct Gate {
    fault: watch::Sender<Option<Fault>>,
}

/// The task's socket was cut.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut;

impl Gate {
    /// A gate without a fault.
    pub fn new() -> Self {
        Self {
            fault: watch::Sender::new(None),
        }
    }

    /// Injects `fault` for `duration`, in place of the present one.
    pub async fn inject(&self, fault: Fault, duration: Duration) {
        self.fault.send_replace(Some(fault));
        tokio::time::sleep(duration).await;
        self.fault.send_replace(None);
    }

    /// Runs `task` while there is no fault. A frozen task is not polled; a cut task is dropped
    /// together with its socket.
    pub async fn guard<T>(&self, task: impl Future<Output = T>) -> Result<T, Cut> {
        let mut fault = self.fault.subscribe();
        let mut task = pin!(task);
        loop {
            let now = *fault.borrow_and_update();
            match now {
                Some(Fault::Cut) => return Err(Cut),
                Some(Fault::Freeze) => drop(fault.changed().await),
                None => tokio::select! {
                    biased;
                    _ = fault.changed() => {}
                    output = &mut task => return Ok(output),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    async fn ticking(ticks: &AtomicU32) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            ticks.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_frozen_task_continues_after_the_fault() {
        let gate = Gate::new();
        let ticks = AtomicU32::new(0);
        let frozen = async {
            gate.inject(Fault::Freeze, Duration::from_secs(10)).await;
            assert_eq!(ticks.load(Ordering::Relaxed), 0);
            tokio::time::sleep(Duration::from_secs(5)).await;
        };
        tokio::select! {
            biased;
            () = frozen => {}
            _ = gate.guard(ticking(&ticks)) => unreachable!("ticks for ever"),
        }
        assert!(ticks.load(Ordering::Relaxed) >= 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_drops_the_task_and_refuses_new_ones_until_it_is_over() {
        let gate = Gate::new();
        let ticks = AtomicU32::new(0);
        let drill = gate.inject(Fault::Cut, Duration::from_secs(3));
        let victims = async {
            assert_eq!(gate.guard(ticking(&ticks)).await, Err(Cut));
            assert_eq!(gate.guard(std::future::ready(1)).await, Err(Cut));
        };
        tokio::join!(drill, victims);
        assert_eq!(gate.guard(std::future::ready(1)).await, Ok(1));
    }
}
