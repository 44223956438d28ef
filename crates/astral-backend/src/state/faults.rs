//! What can go wrong with an operation on the state: it is late, it is refused, or its answer is lost.

use crate::bus::happens;
use crate::clock::Clock;
use crate::injection::{FaultInjector, Observation, Process, StateOutcome};
use astral_env::Env;
use astral_proto::{Code, Problem, UnixMillis};
use rand::Rng;
use std::sync::Arc;
use std::time::Duration;

/// How long a caller waits for an answer that is lost: as long as a Redis may take.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// What happens to operations on a state within the process. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateFaults {
    /// Operations take up to this long, half before they are done and half after.
    pub delay_max: Duration,
    /// How many of a hundred are done although their caller is told `timeout`.
    pub lose_answer_percent: u8,
    /// How many of a hundred are refused and not done.
    pub refuse_percent: u8,
}

/// The state as one process reaches it through the faults.
#[derive(Clone)]
pub(super) struct Way {
    injector: FaultInjector,
    process: Process,
    /// The clock of the state, as this process last read it.
    pub(super) clock: Arc<Clock>,
}

impl Way {
    pub(super) fn new(injector: FaultInjector, process: Process, env: Env) -> Self {
        let way = Self {
            injector,
            process,
            clock: Arc::new(Clock::new(env)),
        };
        way.read_clock(way.clock.here());
        way
    }

    /// The way of another process.
    pub(super) fn of(&self, process: Process, env: Env) -> Self {
        Self::new(self.injector.clone(), process, env)
    }

    /// Does `work`, unless the injector is against it.
    pub(super) async fn carry<T>(
        &self,
        name: &'static str,
        collection: &str,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let (outcome, result) = self.attempt(work).await;
        self.injector.tell(Observation::Operation {
            process: self.process,
            name,
            collection,
            outcome,
        });
        result
    }

    async fn attempt<T>(
        &self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> (StateOutcome, Result<T, Problem>) {
        self.wait_while_frozen().await;
        let asked = self.clock.here();
        let Some((faults, mut random)) = self.injector.state(self.process) else {
            return (StateOutcome::Refused, Err(away()));
        };
        let half = faults.delay_max / 2;
        pause(random.random_range(Duration::ZERO..=half)).await;
        if happens(&mut random, faults.refuse_percent) {
            return (StateOutcome::Refused, Err(away()));
        }
        self.wait_while_frozen().await;
        let result = work.await;
        if happens(&mut random, faults.lose_answer_percent) {
            pause(ANSWER_WAIT).await;
            self.wait_while_frozen().await;
            return (StateOutcome::AnswerLost, Err(lost()));
        }
        pause(random.random_range(Duration::ZERO..=half)).await;
        self.wait_while_frozen().await;
        self.read_clock(asked);
        (StateOutcome::Answered, result)
    }

    /// Asks whether the state is there.
    pub(super) fn probe(&self) -> Result<(), Problem> {
        match self.injector.state_is_away() {
            true => Err(away()),
            false => Ok(()),
        }
    }

    /// What a process that has crashed was about to do is never done.
    async fn wait_while_frozen(&self) {
        if !self.injector.until_it_runs(self.process).await {
            std::future::pending::<()>().await;
        }
    }

    fn read_clock(&self, asked: UnixMillis) {
        let here = self.clock.here();
        let there = here
            .get()
            .saturating_add_signed(self.injector.state_ahead_ms());
        let there = UnixMillis::new(there);
        self.clock.read(there, asked, here);
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn away() -> Problem {
    Problem::new(Code::ControlPlaneAway, "the state is away")
}

fn lost() -> Problem {
    let detail = format!(
        "the state did not answer within {} ms",
        ANSWER_WAIT.as_millis()
    );
    Problem::new(Code::Timeout, detail)
}
