//! The replicas of the control services: each a process of its own on the shared bus and state.

use crate::plan::REPLICAS;
use astral_backend::{Backend, FaultInjector, Process};
use astral_runtime::TaskScope;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Children that a supernode admits.
const CHILDREN_LIMIT: usize = 60;

/// A control service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Directory,
    Coordinator,
    Broker,
}

impl Service {
    /// Replicas are numbered service by service.
    fn of_replica(number: usize) -> Self {
        match number / REPLICAS {
            0 => Self::Directory,
            1 => Self::Coordinator,
            _ => Self::Broker,
        }
    }

    /// Starts it as it ships. It waits for a state that is away.
    async fn start(self, backend: Backend, serving: TaskScope) {
        let started = match self {
            Self::Directory => {
                let config = astral_directory::Config {
                    open_publishing: true,
                    streams_file: None,
                };
                astral_directory::start(config, backend, serving)
                    .await
                    .map_err(|error| error.to_string())
            }
            Self::Coordinator => {
                let config = astral_supernode_coordinator::Config {
                    children_limit: CHILDREN_LIMIT,
                };
                astral_supernode_coordinator::start(config, backend, serving)
                    .await
                    .map_err(|error| error.to_string())
            }
            Self::Broker => {
                let config = astral_ticket_broker::Config {
                    ticket_key_file: None,
                };
                astral_ticket_broker::start(config, backend, serving)
                    .await
                    .map_err(|error| error.to_string())
            }
        };
        started.expect("the bus within the process takes all");
    }
}

/// One replica, or the place where one was.
struct Replica {
    service: Service,
    process: Process,
    serving: Option<TaskScope>,
}

/// All replicas of all control services.
pub struct Replicas {
    backend: Backend,
    injector: FaultInjector,
    replicas: Vec<Replica>,
}

impl Replicas {
    /// Starts all of them.
    pub async fn start(backend: &Backend, injector: &FaultInjector, count: usize) -> Self {
        let mut all = Self {
            backend: backend.clone(),
            injector: injector.clone(),
            replicas: Vec::new(),
        };
        for number in 0..count {
            all.replicas.push(Replica {
                service: Service::of_replica(number),
                process: Process::default(),
                serving: None,
            });
            all.restart(number).await;
        }
        all
    }

    /// The process of a replica.
    pub fn process(&self, number: usize) -> Process {
        self.replicas[number].process
    }

    /// Ends a replica between two of its operations.
    pub fn crash(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        if let Some(serving) = replica.serving.take() {
            self.injector.crash(replica.process);
            serving.stopping.cancel();
        }
    }

    /// Starts a replica that has crashed, as another process.
    pub async fn restart(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        if replica.serving.is_some() {
            return;
        }
        let backend = self
            .backend
            .as_another_process()
            .await
            .expect("the bus within the process needs no client");
        replica.process = backend.process();
        let serving = TaskScope {
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        replica.serving = Some(serving.clone());
        tokio::spawn(replica.service.start(backend, serving));
    }
}
