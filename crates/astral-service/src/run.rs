//! A service as a process of its own.

use astral_backend::Backend;
use astral_chassis::{Context, Program};
use clap::Args;
use std::error::Error;
use std::process::ExitCode;

/// A service that uses the bus, and may use the state.
pub trait Service {
    /// Its program.
    const PROGRAM: Program;
    /// What must have been reachable once before the process is ready.
    const WAITS_FOR: &'static [Dependency];
    /// Its settings.
    type Config: Args;
    /// Why it cannot start.
    type Error: Error + Send + Sync + 'static;

    /// Starts the service. It serves once this returns, until `context` stops.
    ///
    /// # Errors
    /// The settings contradict each other, or something that it needs cannot be opened.
    fn start(
        config: Self::Config,
        backend: Backend,
        context: Context,
    ) -> impl Future<Output = Result<(), Self::Error>>;
}

/// A system outside the process that a service depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// The message bus.
    Bus,
    /// The shared state.
    State,
}

/// The settings of a service: the bus and the state, and its own.
#[derive(Args)]
#[group(skip)]
struct Settings<C: Args> {
    #[command(flatten)]
    backend: astral_backend::Config,
    #[command(flatten)]
    service: C,
}

/// Runs `S` as a process: its whole `main`.
pub fn run<S: Service>() -> ExitCode {
    astral_chassis::run(
        &S::PROGRAM,
        async |settings: Settings<S::Config>, context| {
            let backend = Backend::connect(&settings.backend).await?;
            watch(&backend, &context, S::WAITS_FOR);
            S::start(settings.service, backend, context).await?;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        },
    )
}

/// Shows in `/readyz` whether the bus and the state can be reached, as far as the service needs
/// them.
fn watch(backend: &Backend, context: &Context, waits_for: &[Dependency]) {
    let dependency =
        |kind: Dependency, name| waits_for.contains(&kind).then(|| context.dependency(name));
    let bus = dependency(Dependency::Bus, "bus");
    let state = dependency(Dependency::State, "state");
    if bus.is_none() && state.is_none() {
        return;
    }
    let report = move |is_bus_there, is_state_there| {
        if let Some(bus) = &bus {
            bus.report(is_bus_there);
        }
        if let Some(state) = &state {
            state.report(is_state_there);
        }
    };
    let watching = backend
        .clone()
        .watch(context.scope.stopping.clone(), report);
    context.scope.tasks.spawn(watching);
}
