//! Adds processes to a deployment.

use super::program::EDGE;
use super::{Deployment, Program, Proxy, RELAY_GRACE_SECONDS, Server};

impl Deployment {
    /// Starts the relay `name` in `role`, and waits until it has registered.
    ///
    /// # Panics
    /// If it does not start, or the name is taken.
    pub async fn add_relay(&mut self, name: &str, role: &str, flags: &[&str]) -> &Program {
        let grace = RELAY_GRACE_SECONDS.to_string();
        let own = ["--role", role, "--shutdown-grace-seconds", &grace];
        self.spawn(name, "media-forwarder", &[&own, flags].concat())
            .await;
        let program = self.program(name);
        program.is_ready().await;
        program
    }

    /// Starts a process of `service` with these URLs of bus and state, without waiting.
    ///
    /// # Panics
    /// If it does not start, or the name is taken.
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

    /// Starts the astralnode `name` in `role`, which knows only a gateway, and waits until it has
    /// registered.
    ///
    /// # Panics
    /// If it does not start, or the name is taken.
    pub async fn add_edge(&mut self, name: &str, role: &str) -> &Program {
        let join = format!("http://{}", self.gateway().0);
        self.add_edge_joining(name, role, &join).await
    }

    /// Like [`Deployment::add_edge`], but it joins at these gateways.
    ///
    /// # Panics
    /// If it does not start, or the name is taken.
    pub async fn add_edge_joining(&mut self, name: &str, role: &str, join: &str) -> &Program {
        self.keep_edge(name, join, &["--role", role]);
        let program = self.program(name);
        program.is_ready().await;
        program
    }

    /// Like [`Deployment::add_edge`], with `flags`.
    ///
    /// # Panics
    /// If it does not start, or the name is taken.
    pub async fn add_edge_with(&mut self, name: &str, flags: &[&str]) -> &Program {
        self.add_edge_unready(name, flags);
        let program = self.program(name);
        program.is_ready().await;
        program
    }

    /// Like [`Deployment::add_edge_with`], without waiting until it has registered.
    ///
    /// # Panics
    /// If it does not start, or the name is taken.
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

    pub(super) async fn spawn(&mut self, name: &str, service: &str, flags: &[&str]) {
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
}

async fn wire_to(server: &Server) -> Proxy {
    let wire = Proxy::start().await;
    wire.lead_to(server.address());
    wire
}
