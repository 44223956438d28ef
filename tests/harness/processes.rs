//! A complete network as it runs in production: one process for each service, over a real NATS and
//! a real Redis.

mod add;
mod program;
mod proxy;
mod server;
mod start;
mod unique;

use crate::Gateway;
pub use program::{Program, Stopped, built_folder};
pub use proxy::Proxy;
pub use server::Server;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// All control services. Each runs as `NAME-1`, `NAME-2` and so on.
pub const CONTROL: [&str; 4] = [
    "directory",
    "supernode-coordinator",
    "ticket-broker",
    "rest-gateway",
];
/// How long a relay drains, in seconds: long enough for its subscribers to leave, and for viewers
/// to see the end of their GOP.
pub const RELAY_GRACE_SECONDS: u64 = 6;

/// Processes on free ports. They are killed when this is dropped.
pub struct Deployment {
    /// The bus.
    pub nats: Server,
    /// The state.
    pub redis: Server,
    programs: BTreeMap<String, Program>,
    /// Environment variables of every process.
    variables: Vec<(String, String)>,
    /// Proxies between each process and the bus and state, if they can be cut.
    wires: Option<BTreeMap<String, [Proxy; 2]>>,
    /// Which clocks are wrong, and by how much.
    clocks: BTreeMap<&'static str, &'static str>,
    directory: PathBuf,
    /// The folder of the programs that are started.
    programs_folder: PathBuf,
    /// The folders of the programs of single processes, by their names.
    own_folders: BTreeMap<String, PathBuf>,
}

impl Deployment {
    /// Returns the proxy between the process `name` and the bus.
    ///
    /// # Panics
    /// If there is none.
    pub fn bus_wire(&self, name: &str) -> &Proxy {
        &self.wires_of(name)[0]
    }

    /// Returns the proxy between the process `name` and the state.
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

    /// Returns the process `name`.
    ///
    /// # Panics
    /// If there is none.
    pub fn program(&mut self, name: &str) -> &mut Program {
        self.programs
            .get_mut(name)
            .unwrap_or_else(|| panic!("there is no process {name}"))
    }

    /// Returns all processes with their names, including those that have ended.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &Program)> {
        self.programs
            .iter()
            .map(|(name, program)| (name.as_str(), program))
    }

    /// Returns the ops address of each running process.
    pub fn ops(&mut self) -> Vec<SocketAddr> {
        let running = self
            .programs
            .values_mut()
            .filter_map(|program| program.runs().then_some(program));
        running.map(|program| program.door("ops")).collect()
    }

    /// Kills the process `name` and forgets it.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&mut self, name: &str) {
        self.programs
            .remove(name)
            .unwrap_or_else(|| panic!("there is no process {name}"));
    }

    /// Kills all control services with SIGKILL.
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

    /// Returns a running gateway.
    ///
    /// # Panics
    /// If there is none.
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
