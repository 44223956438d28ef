//! The connection to Redis: made when it is needed, left when it fails or is silent, each call bounded in time.

use super::endpoint::{Connection, Endpoint, UrlError, Waits};
use super::failure::Failure;
use super::policy::{self, Policy};
use crate::clock::Clock;
use crate::fault::{Cause, Fault};
use crate::observe::{Outside, connected, is_connected};
use ::redis::{RedisResult, Script};
use astral_env::Env;
use astral_proto::{Code, Problem, UnixMillis};
use astral_runtime::{LogThrottle, lock};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long one call may take, connecting included.
const CALL_WAIT: Duration = Duration::from_secs(1);
/// How long connecting may take.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
/// How long Redis may take over one command.
const RESPONSE_WAIT: Duration = Duration::from_millis(750);
/// How long it may take to say what it does when it is full.
const POLICY_WAIT: Duration = Duration::from_millis(150);
const WAITS: Waits = Waits {
    connect: CONNECT_WAIT,
    response: RESPONSE_WAIT,
};
/// After a failed try to connect, calls fail at once for a while: half to the whole of this.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// The same after a server was reached and turned this process away. It does so until somebody changes something.
const TURNED_AWAY_PAUSE: Duration = Duration::from_secs(1);
/// How long a connection to a server that is no master stays, before another may lead to one that is.
const REPLICA_KEPT: Duration = Duration::from_secs(10);

/// What the slot is named by whose machine tells the time.
const CLOCK_KEY: &str = "astral:{clock}";

static TIME: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('TIME')"));

/// One connection, shared by all calls.
pub(super) struct Link {
    /// The clock of Redis, read on each new connection before anything else.
    pub(super) clock: Arc<Clock>,
    endpoint: Endpoint,
    held: Mutex<Held>,
    /// Why nothing is written; none while writes are taken.
    refusal: std::sync::Mutex<Option<Fault>>,
    /// Whether entries may be evicted, as of the last connection.
    policy: std::sync::Mutex<Policy>,
    troubles: LogThrottle,
}

#[derive(Default)]
struct Held {
    connection: Option<Connection>,
    /// Counts connections, so that a call leaves only the one it failed on.
    generation: u64,
    /// When it was made.
    since: Option<Instant>,
    /// Until when there is no other try to connect, and why the last one failed.
    failed: Option<(Instant, Problem)>,
}

impl Link {
    pub(super) fn open(url: &str, env: Env) -> Result<Self, UrlError> {
        Ok(Self {
            clock: Arc::new(Clock::new(env)),
            endpoint: Endpoint::parse(url, WAITS)?,
            held: Mutex::default(),
            refusal: std::sync::Mutex::default(),
            policy: std::sync::Mutex::default(),
            troubles: LogThrottle::default(),
        })
    }

    /// Runs `command` on the connection.
    ///
    /// # Errors
    /// `control_plane_away` if Redis is not there or does not serve; `timeout` if it does not answer; `internal` if it
    /// does not understand the command.
    pub(super) async fn call<T>(
        &self,
        command: impl AsyncFnOnce(Connection) -> RedisResult<T>,
    ) -> Result<T, Problem> {
        // Boxed, since what calls this holds it several times over.
        let called = Box::pin(async {
            let (connection, generation) = self.connection().await?;
            match timeout(RESPONSE_WAIT, command(connection)).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => Err(self.failed(Failure::of(&error), generation).await),
                Err(_) => Err(self
                    .failed(Failure::Connection(Cause::Silent), generation)
                    .await),
            }
        });
        let result = timeout(CALL_WAIT, called)
            .await
            .unwrap_or_else(|_| Err(self.fault(Cause::Silent).problem()));
        let is_there = result
            .as_ref()
            .err()
            .is_none_or(|problem| !problem.code.may_retry());
        is_connected(Outside::State, is_there && self.refusal().is_none());
        result
    }

    /// Why nothing is written, as far as it is known; none while writes are taken.
    pub(super) fn refusal(&self) -> Option<Problem> {
        let refusal = lock(&self.refusal);
        refusal.as_ref().map(Fault::problem)
    }

    /// Something has been written.
    pub(super) fn has_written(&self) {
        let before = lock(&self.refusal).take();
        if before.is_some() && self.troubles.ended() {
            tracing::info!(
                place = self.endpoint.place(),
                "the state takes writes again"
            );
        }
    }

    /// Whether entries may be evicted, as of the last connection.
    pub(super) fn policy(&self) -> Policy {
        lock(&self.policy).clone()
    }

    async fn connection(&self) -> Result<(Connection, u64), Problem> {
        let mut held = self.held.lock().await;
        if let Some(connection) = &held.connection {
            return Ok((connection.clone(), held.generation));
        }
        if let Some((until, problem)) = &held.failed
            && Instant::now() < *until
        {
            return Err(problem.clone());
        }
        // Apart from the futures of calls, which would all be as large as this one.
        match Box::pin(self.connect()).await {
            Ok(connection) => {
                held.connected(connection.clone());
                self.connected(held.generation);
                Ok((connection, held.generation))
            }
            Err(cause) => {
                let pause = if cause.is_answer() {
                    TURNED_AWAY_PAUSE
                } else {
                    RECONNECT_PAUSE
                };
                let problem = self.tell("state away, connecting again", cause);
                held.failed(&problem, pause);
                Err(problem)
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Cause> {
        let connecting = async {
            let mut connection = self.endpoint.connect(WAITS).await?;
            self.read_clock(&mut connection).await?;
            // In a cluster all servers are asked, of which one may be away.
            let policy = timeout(POLICY_WAIT, policy::read(&mut connection))
                .await
                .unwrap_or_default();
            Ok((connection, policy))
        };
        let connected = timeout(CONNECT_WAIT, connecting)
            .await
            .map_err(|_| Cause::Silent)?;
        let (connection, policy) = connected.map_err(|error| Failure::of_setup(&error))?;
        policy.tell(self.endpoint.place());
        *lock(&self.policy) = policy;
        Ok(connection)
    }

    /// Reads the clock of Redis. In a cluster the same machine is always asked.
    pub(super) async fn read_clock(&self, connection: &mut Connection) -> RedisResult<()> {
        let asked = self.clock.here();
        let (seconds, micros): (u64, u64) = TIME.key(CLOCK_KEY).invoke_async(connection).await?;
        let there = UnixMillis::from_secs(seconds) + Duration::from_micros(micros);
        self.clock.read(there, asked, self.clock.here());
        Ok(())
    }

    fn connected(&self, generation: u64) {
        connected(Outside::State);
        let is_first = generation == 1;
        if is_first || (self.refusal().is_none() && self.troubles.ended()) {
            tracing::info!(place = self.endpoint.place(), "state connected");
        }
    }

    /// A call on the connection `generation` has failed.
    async fn failed(&self, failure: Failure, generation: u64) -> Problem {
        match failure {
            Failure::Internal(text) => Problem::new(Code::Internal, format!("the state: {text}")),
            Failure::Connection(cause) => {
                // Silent ones are left too: the machine at the other end may be gone.
                self.held.lock().await.leave(generation);
                self.tell("state lost, connecting again", cause)
            }
            Failure::Refusal(cause) => self.refused(cause, generation).await,
        }
    }

    /// The server is there and refuses. The connection is good and stays, but not for ever where another one may lead to
    /// a server that does not refuse.
    async fn refused(&self, cause: Cause, generation: u64) -> Problem {
        if cause.refuses_writes() {
            let refusal = Some(self.fault(cause.clone()));
            *lock(&self.refusal) = refusal;
        }
        if cause.may_be_elsewhere() {
            self.held.lock().await.leave_if_old(generation);
        }
        self.tell("the state refuses, what was last known stays in use", cause)
    }

    fn fault(&self, cause: Cause) -> Fault {
        Fault {
            system: Outside::State,
            place: self.endpoint.place().to_owned(),
            cause,
        }
    }

    /// Logs it, unless that was done just now; `times` is how often it has happened since the last line.
    fn tell(&self, what: &str, cause: Cause) -> Problem {
        let fault = self.fault(cause);
        if let Some(times) = self.troubles.occurred(&format!("{what}: {fault}")) {
            tracing::warn!(why = %fault, times, "{what}");
        }
        fault.problem()
    }
}

impl Held {
    fn connected(&mut self, connection: Connection) {
        let generation = self.generation + 1;
        let since = Some(Instant::now());
        *self = Self {
            connection: Some(connection),
            generation,
            since,
            failed: None,
        };
    }

    fn failed(&mut self, problem: &Problem, pause: Duration) {
        let pause = pause.mul_f64(rand::random_range(0.5..=1.0));
        self.failed = Some((Instant::now() + pause, problem.clone()));
    }

    fn leave(&mut self, generation: u64) {
        if self.generation == generation {
            self.connection = None;
        }
    }

    fn leave_if_old(&mut self, generation: u64) {
        if self
            .since
            .is_some_and(|since| since.elapsed() >= REPLICA_KEPT)
        {
            self.leave(generation);
        }
    }
}
