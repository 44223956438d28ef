//! The connection to Redis: made when it is needed, left when it fails or is silent, each call bounded in time.

use super::endpoint::{Connection, Endpoint, UrlError, Waits};
use crate::clock::{Clock, unix_millis};
use crate::observe::{Outside, connected, is_connected};
use ::redis::{ErrorKind, RedisError, RedisResult, Script, ServerErrorKind};
use astral_proto::{Code, Problem};
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
const WAITS: Waits = Waits { connect: CONNECT_WAIT, response: RESPONSE_WAIT };
/// After a failed try to connect, calls fail at once for a while: half to the whole of this.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// What the slot is named by whose machine tells the time.
const CLOCK_KEY: &str = "astral:{clock}";

static TIME: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('TIME')"));

/// One connection, shared by all calls.
pub(super) struct Link {
    /// The clock of Redis, read on each new connection before anything else.
    pub(super) clock: Arc<Clock>,
    endpoint: Endpoint,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    connection: Option<Connection>,
    /// Counts connections, so that a call leaves only the one it failed on.
    generation: u64,
    /// Until when there is no other try to connect, and why the last one failed.
    failed: Option<(Instant, Problem)>,
}

impl Link {
    pub(super) fn open(url: &str) -> Result<Self, UrlError> {
        Ok(Self { clock: Arc::default(), endpoint: Endpoint::parse(url, WAITS)?, held: Mutex::default() })
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
            let ran = timeout(RESPONSE_WAIT, command(connection)).await;
            let result = ran.map_err(|_| silent()).and_then(|result| result.map_err(|error| problem(&error)));
            if let Err(problem) = &result {
                self.leave(generation, problem).await;
            }
            result
        });
        let result = timeout(CALL_WAIT, called).await.unwrap_or_else(|_| Err(silent()));
        is_connected(Outside::State, result.as_ref().err().is_none_or(|problem| !problem.code.may_retry()));
        result
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
                Ok((connection, held.generation))
            }
            Err(problem) => {
                held.failed(&problem);
                Err(problem)
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Problem> {
        let connecting = async {
            let mut connection = self.endpoint.connect(WAITS).await?;
            self.read_clock(&mut connection).await?;
            Ok(connection)
        };
        let connected = timeout(CONNECT_WAIT, connecting).await.map_err(|_| silent())?;
        connected.map_err(|error| problem(&error))
    }

    /// Reads what time it is there. In a cluster it is always asked of the same machine.
    pub(super) async fn read_clock(&self, connection: &mut Connection) -> RedisResult<()> {
        let asked = unix_millis();
        let (seconds, micros): (u64, u64) = TIME.key(CLOCK_KEY).invoke_async(connection).await?;
        self.clock.read(seconds * 1_000 + micros / 1_000, asked, unix_millis());
        Ok(())
    }

    /// Leaves the connection that a call failed on, silent ones too: the machine at the other end may be gone.
    async fn leave(&self, generation: u64, problem: &Problem) {
        let mut held = self.held.lock().await;
        if problem.code.may_retry() && held.generation == generation && held.connection.take().is_some() {
            tracing::warn!(%problem, "state lost");
        }
    }
}

impl Held {
    fn connected(&mut self, connection: Connection) {
        *self = Self { connection: Some(connection), generation: self.generation + 1, failed: None };
        connected(Outside::State);
        tracing::info!("state connected");
    }

    fn failed(&mut self, problem: &Problem) {
        if self.failed.is_none() {
            tracing::warn!(%problem, "state away, connecting again");
        }
        let pause = RECONNECT_PAUSE.mul_f64(rand::random_range(0.5..=1.0));
        self.failed = Some((Instant::now() + pause, problem.clone()));
    }
}

fn silent() -> Problem {
    Problem::new(Code::Timeout, "the state does not answer")
}

fn problem(error: &RedisError) -> Problem {
    let code = match error.kind() {
        _ if error.is_timeout() => return silent(),
        ErrorKind::Parse
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot) => Code::Internal,
        _ => Code::ControlPlaneAway,
    };
    Problem::new(code, format!("the state: {error}"))
}
