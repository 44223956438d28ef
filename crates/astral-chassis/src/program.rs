//! What every `main` does: read the settings, start, run until stopped, exit.

use crate::config::Config;
use crate::context::Context;
use crate::process::Process;
use crate::settings::parse;
use clap::{Args, CommandFactory, Parser};
use std::error::Error;
use std::process::ExitCode;

/// Exit code of a process that cannot start, the same as clap's for a bad setting.
const CANNOT_START: u8 = 2;

/// What is known about a program before its settings are read.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name of the executable, for `--help` and messages.
    pub name: &'static str,
    /// The name of the component, for logs, metrics and traces.
    pub component: &'static str,
    /// The first line of `--help`.
    pub about: &'static str,
    /// How many threads run its tasks.
    pub threads: Threads,
}

/// How many threads run the tasks of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One thread. Best for many short waits, where waking another thread costs more than it gains.
    One,
    /// One thread for each core.
    PerCore,
}

/// The settings of a program: those of every process, and its own.
#[derive(Parser)]
#[command(version)]
struct Settings<C: Args> {
    #[command(flatten)]
    process: Config,
    #[command(flatten)]
    service: C,
}

/// Runs a program: reads its settings, calls `start`, and runs until a signal, [`Context::stop`] or
/// the failure of a critical task. Then it drains and returns the exit code.
///
/// A program that cannot start prints one line that says why, and exits with 2.
pub fn run<C, E>(
    program: &Program,
    start: impl AsyncFnOnce(C, Context) -> Result<(), E>,
) -> ExitCode
where
    C: Args,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let command = Settings::<C>::command()
        .name(program.name)
        .about(program.about);
    let Settings { process, service } = parse(command);
    run_process(
        program.component,
        program.threads,
        &process,
        async |context| start(service, context).await,
    )
}

/// As [`run`], for a program that has read its settings itself.
pub fn run_process<E>(
    component: &'static str,
    threads: Threads,
    config: &Config,
    start: impl AsyncFnOnce(Context) -> Result<(), E>,
) -> ExitCode
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let runtime = match runtime(threads) {
        Ok(runtime) => runtime,
        Err(error) => return cannot_start(&error),
    };
    let ran = runtime.block_on(async {
        let process = Process::start(component, config)?;
        let context = process.context();
        process
            .run(async { start(context).await.map_err(Into::into) })
            .await
    });
    ran.unwrap_or_else(|error: Box<dyn Error + Send + Sync>| cannot_start(&*error))
}

fn runtime(threads: Threads) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::PerCore => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

/// Prints the error with its causes, on one line.
fn cannot_start(error: &(dyn Error + 'static)) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    eprintln!("error: {text}");
    ExitCode::from(CANNOT_START)
}
