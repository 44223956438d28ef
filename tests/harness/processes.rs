//! A whole network as it runs in production: one process for each service, over a real NATS and a real Redis.

mod program;
mod proxy;
mod server;
mod unique;

use crate::Gateway;
use program::EDGE;
pub use program::{Program, Stopped, built_folder};
pub use proxy::Proxy;
pub use server::Server;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Every control service, each of which runs as `NAME-1`, `NAME-2` and so on.
pub const CONTROL: [&str; 4] = [
    "directory",
    "supernode-coordinator",
    "ticket-broker",
    "rest-gateway",
];
/// For how long a relay drains, in seconds: time for its subscribers to go, and for viewers to see their GOP to its end.
pub const RELAY_GRACE_SECONDS: u64 = 6;

/// Processes on free ports, killed when this is dropped.
pub struct Deployment {
    /// The bus.
    pub nats: Server,
    /// The state.
    pub redis: Server,
    programs: BTreeMap<String, Program>,
    /// What every process finds in its environment.
    variables: Vec<(String, String)>,
    /// What leads each process to the bus and to the state, if that can be cut.
    wires: Option<BTreeMap<String, [Proxy; 2]>>,
    /// Whose clock is wrong, and by how much.
    clocks: BTreeMap<&'static str, &'static str>,
    directory: PathBuf,
    /// The folder of the programs that are started.
    programs_folder: PathBuf,
    /// The folders of the programs of single processes, by their names.
    own_folders: BTreeMap<String, PathBuf>,
}

impl Deployment {
    /// NATS, Redis and `replicas` of each control service, without a relay.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start(replicas: usize) -> Self {
        Self::start_at(own_directory(), replicas, Vec::new(), &[]).await
    }

    /// As [`Deployment::start`], with wires to the bus and the state that can be cut, one each for each process.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_wired(replicas: usize) -> Self {
        let mut deployment = Self::start(0).await;
        deployment.wires = Some(BTreeMap::new());
        deployment.start_control(replicas).await;
        deployment
    }

    /// As [`Deployment::start`], with the clocks of some processes, relays to come among them, wrong by so much, such as
    /// `+60s`.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_with_clocks(
        replicas: usize,
        clocks: &[(&'static str, &'static str)],
    ) -> Self {
        Self::start_at(own_directory(), replicas, Vec::new(), clocks).await
    }

    /// As [`Deployment::start`], with spans sent to the trace collector at `endpoint`, soon after they end.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn start_traced(replicas: usize, endpoint: &str) -> Self {
        Self::start_sampled(replicas, endpoint, 1.0).await
    }

    /// As [`Deployment::start_traced`], with `ratio` of the traces sent, as the operators' page recommends it.
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

    /// As [`Deployment::start`], with the streams that `declared` declares, and no open publishing.
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

    /// As [`Deployment::start`], with a NATS and a Redis that want `password`, and `variables` for every process.
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

    /// Starts the relay `name` in `role`, and waits until it has registered.
    ///
    /// # Panics
    /// If it does not start, or there is one of this name.
    pub async fn add_relay(&mut self, name: &str, role: &str, flags: &[&str]) -> &Program {
        let grace = RELAY_GRACE_SECONDS.to_string();
        let own = ["--role", role, "--shutdown-grace-seconds", &grace];
        self.spawn(name, "media-forwarder", &[&own, flags].concat())
            .await;
        let program = self.program(name);
        program.is_ready().await;
        program
    }

    /// Starts a process of `service` by these URLs of bus and state, and does not wait for anything.
    ///
    /// # Panics
    /// If it does not start, or there is one of this name.
    pub fn add_at(
        &mut self,
        name: &str,
        service: &str,
        bus_url: &str,
        state_url: &str,
    ) -> &mut Program {
        self.keep(
            name,
            service,
            &["--bus-url", bus_url, "--state-url", state_url],
        );
        self.program(name)
    }

    /// Starts the edge `name` in `role`, which knows a gateway alone, and waits until it has registered.
    ///
    /// # Panics
    /// If it does not start, or there is one of this name.
    pub async fn add_edge(&mut self, name: &str, role: &str) -> &Program {
        let join = format!("http://{}", self.gateway().0);
        self.add_edge_joining(name, role, &join).await
    }

    /// As [`Deployment::add_edge`], with gateways of its own to join by.
    ///
    /// # Panics
    /// If it does not start, or there is one of this name.
    pub async fn add_edge_joining(&mut self, name: &str, role: &str, join: &str) -> &Program {
        self.keep_edge(name, join, &["--role", role]);
        let program = self.program(name);
        program.is_ready().await;
        program
    }

    /// As [`Deployment::add_edge`], with `flags`.
    ///
    /// # Panics
    /// If it does not start, or there is one of this name.
    pub async fn add_edge_with(&mut self, name: &str, flags: &[&str]) -> &Program {
        self.add_edge_unready(name, flags);
        let program = self.program(name);
        program.is_ready().await;
        program
    }

    /// As [`Deployment::add_edge_with`], and does not wait until it has registered.
    ///
    /// # Panics
    /// If it does not start, or there is one of this name.
    pub fn add_edge_unready(&mut self, name: &str, flags: &[&str]) {
        let join = format!("http://{}", self.gateway().0);
        self.keep_edge(name, &join, flags);
    }

    fn keep_edge(&mut self, name: &str, join: &str, flags: &[&str]) {
        let grace = RELAY_GRACE_SECONDS.to_string();
        let own = [
            "--join",
            join,
            "--upstream-limit",
            "1000000",
            "--shutdown-grace-seconds",
            &grace,
        ];
        self.keep(name, EDGE, &[&own[..], flags].concat());
    }

    async fn spawn(&mut self, name: &str, service: &str, flags: &[&str]) {
        let mut bus = self.nats.url();
        let mut state = self.redis.url();
        if let Some(wires) = &mut self.wires {
            let own = [wire_to(&self.nats).await, wire_to(&self.redis).await];
            [bus, state] = [("nats", &own[0]), ("redis", &own[1])]
                .map(|(scheme, wire)| format!("{scheme}://{}", wire.address()));
            wires.insert(name.to_owned(), own);
        }
        let shared = ["--bus-url", &bus, "--state-url", &state];
        let flags = [&shared, flags].concat();
        self.keep(name, service, &flags);
    }

    fn keep(&mut self, name: &str, service: &str, flags: &[&str]) {
        let clock = self.clocks.get(name).copied();
        let folder = self.own_folders.get(name).unwrap_or(&self.programs_folder);
        let program = Program::spawn(
            name,
            service,
            folder,
            flags,
            &self.variables,
            clock,
            &self.directory,
        );
        let before = self.programs.insert(name.to_owned(), program);
        assert!(before.is_none(), "there is a {name} already");
    }

    /// The wire from the process `name` to the bus.
    ///
    /// # Panics
    /// If there is none.
    pub fn bus_wire(&self, name: &str) -> &Proxy {
        &self.wires_of(name)[0]
    }

    /// The wire from the process `name` to the state.
    ///
    /// # Panics
    /// If there is none.
    pub fn state_wire(&self, name: &str) -> &Proxy {
        &self.wires_of(name)[1]
    }

    fn wires_of(&self, name: &str) -> &[Proxy; 2] {
        let wires = self.wires.as_ref().and_then(|wires| wires.get(name));
        wires.unwrap_or_else(|| panic!("{name} has no wires"))
    }

    /// The process `name`.
    ///
    /// # Panics
    /// If there is none.
    pub fn program(&mut self, name: &str) -> &mut Program {
        self.programs
            .get_mut(name)
            .unwrap_or_else(|| panic!("there is no process {name}"))
    }

    /// Every process by its name, those that have ended too.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &Program)> {
        self.programs
            .iter()
            .map(|(name, program)| (name.as_str(), program))
    }

    /// Where the metrics of each process are that runs.
    pub fn ops(&mut self) -> Vec<SocketAddr> {
        let running = self
            .programs
            .values_mut()
            .filter_map(|program| program.runs().then_some(program));
        running.map(|program| program.door("ops")).collect()
    }

    /// Kills the process `name` for good.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&mut self, name: &str) {
        self.programs
            .remove(name)
            .unwrap_or_else(|| panic!("there is no process {name}"));
    }

    /// Kills every control service without a goodbye.
    pub fn kill_control(&mut self) {
        self.control().for_each(Program::kill);
    }

    /// Starts the control services that do not run.
    ///
    /// # Panics
    /// If one of them does not become ready.
    pub async fn restart_control(&mut self) {
        for program in self.control() {
            if !program.runs() {
                program.restart().await;
            }
        }
    }

    fn control(&mut self) -> impl Iterator<Item = &mut Program> {
        let is_control = |name: &str| CONTROL.iter().any(|service| name.starts_with(service));
        let named = self
            .programs
            .iter_mut()
            .filter(move |(name, _)| is_control(name));
        named.map(|(_, program)| program)
    }

    /// A gateway that runs.
    ///
    /// # Panics
    /// If none does.
    pub fn gateway(&mut self) -> Gateway {
        let gateways = self
            .programs
            .iter_mut()
            .filter(|(name, _)| name.starts_with("rest-gateway-"));
        let mut running = gateways.filter_map(|(_, gateway)| gateway.runs().then_some(gateway));
        Gateway(running.next().expect("a gateway runs").door("http"))
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the logs of every process are kept in {}",
                self.directory.display()
            );
        } else {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}

async fn wire_to(server: &Server) -> Proxy {
    let wire = Proxy::start().await;
    wire.lead_to(server.address());
    wire
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
