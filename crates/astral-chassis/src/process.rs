//! The life of a process: it starts, runs until a signal or a failure, and drains.

use crate::config::Config;
use crate::context::Context;
use crate::readiness::ReadyLatch;
use crate::{logs, metrics, ops, traces};
use astral_runtime::ListenError;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, interval_at};
use tokio_util::task::AbortOnDropHandle;

/// How often a drain checks what it waits for.
const WAITING_LOOK: Duration = Duration::from_secs(1);
/// How often a drain logs that it still waits for the same thing.
const WAITING_SAID_AGAIN: Duration = Duration::from_secs(5);

/// A running process: logs, metrics, the ops listener and signals.
pub struct Process {
    component: &'static str,
    context: Context,
    ops_address: SocketAddr,
    /// Keeps the process unready until all its services have set their own latches.
    starting: ReadyLatch,
    /// The ops listener and the watch for signals. They end with the process, after the drain.
    _watching: [AbortOnDropHandle<()>; 2],
}

/// The process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ops listener cannot be opened.
    #[error(transparent)]
    OpsListen(#[from] ListenError),
    /// Signals cannot be watched.
    #[error("signals cannot be watched")]
    Signals(#[source] std::io::Error),
}

impl Process {
    /// Starts logs, metrics, the ops listener and the watch for signals, on the current tokio
    /// runtime.
    ///
    /// # Errors
    /// [`StartError`] if the listener cannot be opened or signals cannot be watched.
    pub fn start(component: &'static str, config: &Config) -> Result<Self, StartError> {
        traces::start(component, logs::layer(config));
        let recorder = metrics::start(component);
        let context = Context::new(config.shutdown_grace());
        let starting = context.ready_latch("start");
        let (listener, ops_address) = ops::listen(config.ops_listen)?;
        let (terminate, interrupt) = signals().map_err(StartError::Signals)?;
        tracing::info!(component, version = env!("CARGO_PKG_VERSION"), "starting");
        logs::log_listening("ops", ops_address);
        let ops = tokio::spawn(ops::serve(
            component,
            listener,
            context.readiness(),
            recorder,
        ));
        let signals = tokio::spawn(stop_on_signals(terminate, interrupt, context.clone()));
        let _watching = [AbortOnDropHandle::new(ops), AbortOnDropHandle::new(signals)];
        Ok(Self {
            component,
            context,
            ops_address,
            starting,
            _watching,
        })
    }

    /// The context for its services.
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// The real address of the ops listener.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops_address
    }

    /// Runs `starting`, which starts the services. Then it runs until a signal, [`Context::stop`]
    /// or the failure of a critical task, and drains. Returns 0, or 1 after a failure. A signal
    /// during the start ends the start: `starting` is dropped, and what runs by then is drained.
    ///
    /// If tasks outlive the deadline, the process exits with 1 and this does not return. A second
    /// signal does the same.
    ///
    /// # Errors
    /// Those of `starting`.
    pub async fn run<T, E>(
        self,
        starting: impl Future<Output = Result<T, E>>,
    ) -> Result<ExitCode, E> {
        let started = self
            .context
            .scope
            .stopping
            .run_until_cancelled(starting)
            .await
            .transpose()?;
        if started.is_some() {
            self.starting.release();
        }
        tokio::select! {
            () = self.context.scope.stopping.cancelled() => {}
            () = self.context.failed().cancelled() => {}
        }
        Ok(self.stop().await)
    }

    async fn stop(self) -> ExitCode {
        let component = self.component;
        self.context.stop();
        let seconds = self.context.grace().as_secs();
        tracing::info!(
            component,
            "draining for up to {seconds} s; a second signal (Ctrl-C) stops the process at once"
        );
        if !self.drain().await {
            let waiting_for = self.context.waiting_for();
            tracing::error!(component, waiting_for, "tasks outlived the drain deadline");
            // Returning would drop the runtime, which waits for them.
            std::process::exit(1);
        }
        let failed = self.context.failed().is_cancelled();
        tracing::info!(component, failed, "stopped");
        traces::flush(self.context.deadline()).await;
        if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    /// Waits for every task until the deadline. Logs what it waits for when that changes, and every
    /// few seconds. Returns whether all tasks have ended.
    async fn drain(&self) -> bool {
        let mut drained = pin!(self.context.drained());
        let mut ticks = interval_at(Instant::now() + WAITING_LOOK, WAITING_LOOK);
        let mut last = Waited {
            text: String::new(),
            said: Instant::now(),
        };
        loop {
            tokio::select! {
                all_ended = &mut drained => return all_ended,
                _ = ticks.tick() => self.say_waiting(&mut last),
            }
        }
    }

    fn say_waiting(&self, last: &mut Waited) {
        let text = self.context.waiting_for();
        if text == last.text && last.said.elapsed() < WAITING_SAID_AGAIN {
            return;
        }
        let deadline = self.context.deadline().unwrap_or_else(Instant::now);
        let seconds_left = deadline.saturating_duration_since(Instant::now()).as_secs();
        tracing::info!("draining: waiting for {text}; {seconds_left} s left");
        *last = Waited {
            text,
            said: Instant::now(),
        };
    }
}

/// What a drain logged last.
struct Waited {
    text: String,
    said: Instant,
}

fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ))
}

/// The first signal starts the drain, the second one ends the process.
async fn stop_on_signals(mut terminate: Signal, mut interrupt: Signal, context: Context) {
    next_signal(&mut terminate, &mut interrupt).await;
    context.stop();
    next_signal(&mut terminate, &mut interrupt).await;
    tracing::error!("a second signal: stopping without waiting for the drain");
    std::process::exit(1);
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "signal received"),
        _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "signal received"),
    }
}
