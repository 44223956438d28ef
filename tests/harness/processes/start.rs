//! Starts deployments: NATS, Redis and the control services.

use super::{CONTROL, Deployment, Server, built_folder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

impl Deployment {
    /// Starts NATS, Redis and `replicas` of each control service, without relays.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start(replicas: usize) -> Self {
        Self::start_at(own_directory(), replicas, Vec::new(), &[]).await
    }

    /// Like [`Deployment::start`], with a proxy for each process to the bus and to the state. They
    /// can be cut.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_wired(replicas: usize) -> Self {
        let mut deployment = Self::start(0).await;
        deployment.wires = Some(BTreeMap::new());
        deployment.start_control(replicas).await;
        deployment
    }

    /// Like [`Deployment::start`], but the clocks of some processes, including later relays, are
    /// wrong, for example by `+60s`.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_with_clocks(
        replicas: usize,
        clocks: &[(&'static str, &'static str)],
    ) -> Self {
        Self::start_at(own_directory(), replicas, Vec::new(), clocks).await
    }

    /// Like [`Deployment::start`]. Spans are sent to the trace collector at `endpoint` soon after
    /// they end.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_traced(replicas: usize, endpoint: &str) -> Self {
        Self::start_sampled(replicas, endpoint, 1.0).await
    }

    /// Like [`Deployment::start_traced`], but only `ratio` of the traces are sent, as
    /// docs/operations.md recommends.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_sampled(replicas: usize, endpoint: &str, ratio: f64) -> Self {
        let ratio = ratio.to_string();
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", &ratio),
        ];
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::start_at(own_directory(), replicas, owned.into(), &[]).await
    }

    /// Like [`Deployment::start`], with the streams declared in `declared`, and without open
    /// publishing.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_declaring(replicas: usize, declared: &str) -> Self {
        let directory = own_directory();
        let file = directory.join("streams.toml");
        std::fs::write(&file, declared).expect("a file in the temporary directory");
        let file = file.display().to_string();
        let variables = [
            ("ASTRAL_STREAMS_FILE", &*file),
            ("ASTRAL_OPEN_PUBLISHING", "false"),
        ];
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::start_at(directory, replicas, owned.into(), &[]).await
    }

    /// Like [`Deployment::start`], with a NATS and a Redis that require `password`, and `variables`
    /// for every process.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_secured(
        replicas: usize,
        password: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::start_servers(
            own_directory(),
            replicas,
            variables.collect(),
            &[],
            Some(password),
        )
        .await
    }

    /// As [`Deployment::start`], with the programs in `folder` instead of those of this version.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_from(folder: &Path, replicas: usize) -> Self {
        let mut deployment = Self::start(0).await;
        deployment.start_programs_from(folder);
        deployment.start_control(replicas).await;
        deployment
    }

    /// Takes the programs of processes that are added from now on from `folder`.
    pub fn start_programs_from(&mut self, folder: &Path) {
        self.programs_folder = folder.to_owned();
    }

    /// Takes the program of the process `name`, once that is added, from `folder`.
    pub fn start_program_from(&mut self, name: &str, folder: &Path) {
        self.own_folders.insert(name.to_owned(), folder.to_owned());
    }

    async fn start_at(
        directory: PathBuf,
        replicas: usize,
        variables: Vec<(String, String)>,
        clocks: &[(&'static str, &'static str)],
    ) -> Self {
        Self::start_servers(directory, replicas, variables, clocks, None).await
    }

    async fn start_servers(
        directory: PathBuf,
        replicas: usize,
        variables: Vec<(String, String)>,
        clocks: &[(&'static str, &'static str)],
        password: Option<&str>,
    ) -> Self {
        let nats = Server::nats(&directory, password);
        let redis = Server::redis(&directory, password);
        let (nats, redis) = tokio::join!(nats, redis);
        let programs = BTreeMap::new();
        let clocks = clocks.iter().copied().collect();
        let mut deployment = Self {
            nats,
            redis,
            programs,
            variables,
            wires: None,
            clocks,
            directory,
            programs_folder: built_folder(),
            own_folders: BTreeMap::new(),
        };
        deployment.start_control(replicas).await;
        deployment
    }

    async fn start_control(&mut self, replicas: usize) {
        for number in 1..=replicas {
            for service in CONTROL {
                self.spawn(&format!("{service}-{number}"), service, &[])
                    .await;
            }
        }
        for program in self.programs.values_mut() {
            program.is_ready().await;
        }
    }
}

fn own_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "astral-chaos-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).expect("a directory in the temporary directory");
    directory
}
