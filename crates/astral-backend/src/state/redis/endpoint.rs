//! Which Redis: a single one, the master that Sentinels name, or a cluster.

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster::ClusterClient;
use ::redis::cluster_async::ClusterConnection;
use ::redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Pipeline, RedisError, RedisFuture,
    RedisResult, Value,
};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::Mutex;

/// Times a cluster's client follows a slot that has moved before a call fails.
const CLUSTER_RETRIES: u32 = 3;

/// It names no Redis.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UrlError(String);

impl From<RedisError> for UrlError {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

/// Where the state is.
pub(super) struct Endpoint {
    kind: Kind,
    /// Host and port, or several of them; without user and password.
    place: String,
}

enum Kind {
    Single(Client),
    /// One client for each Sentinel; each try to connect asks the next, so that a silent one holds up one try alone.
    Sentinel(Mutex<VecDeque<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

/// How long things may take.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    pub(super) connect: Duration,
    pub(super) response: Duration,
}

impl Endpoint {
    /// Reads `redis://…`, `rediss://…`, `redis+sentinel://[USER:PASSWORD@]HOST:PORT[,…]/MASTER[/DB]` or
    /// `redis+cluster://[USER:PASSWORD@]HOST:PORT[,…]`. Connects to nothing yet.
    pub(super) fn parse(url: &str, waits: Waits) -> Result<Self, UrlError> {
        match url.split_once("://") {
            Some(("redis+sentinel", rest)) => {
                let parts = Parts::of(rest)?;
                let place = format!("{}/{}", parts.hosts.join(","), parts.path);
                Ok(Self {
                    kind: Kind::sentinel(&parts)?,
                    place,
                })
            }
            Some(("redis+cluster", rest)) => {
                let parts = Parts::of(rest)?;
                Ok(Self {
                    kind: Kind::cluster(&parts, waits)?,
                    place: parts.hosts.join(","),
                })
            }
            _ => {
                let client = Client::open(url)?;
                let place = client.get_connection_info().addr().to_string();
                Ok(Self {
                    kind: Kind::Single(client),
                    place,
                })
            }
        }
    }

    /// Where it is; for logs and errors.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// A new connection, to whoever is master now.
    pub(super) async fn connect(&self, waits: Waits) -> RedisResult<Connection> {
        self.kind.connect(waits).await
    }
}

impl Kind {
    fn sentinel(parts: &Parts<'_>) -> Result<Self, UrlError> {
        let (master, database) = parts.path.split_once('/').unwrap_or((parts.path, ""));
        if master.is_empty() {
            return Err(UrlError(
                "the name of the master is missing: …/MASTER[/DB]".into(),
            ));
        }
        let of_master =
            format!("redis://{}localhost/{database}", parts.user).into_connection_info()?;
        let of_master = of_master.redis_settings().clone();
        let client = |host: &&str| {
            let info =
                SentinelNodeConnectionInfo::default().set_redis_connection_info(of_master.clone());
            let sentinel = vec![format!("redis://{host}")];
            SentinelClient::build(sentinel, master, Some(info), SentinelServerType::Master)
        };
        let clients = parts.hosts.iter().map(client).collect::<RedisResult<_>>()?;
        Ok(Self::Sentinel(Mutex::new(clients)))
    }

    fn cluster(parts: &Parts<'_>, waits: Waits) -> Result<Self, UrlError> {
        if !parts.path.is_empty() {
            return Err(UrlError(format!(
                "a cluster has one database: take /{} away",
                parts.path
            )));
        }
        let nodes = parts
            .hosts
            .iter()
            .map(|host| format!("redis://{}{host}", parts.user));
        let client = ClusterClient::builder(nodes)
            .connection_timeout(waits.connect)
            .response_timeout(waits.response)
            .retries(CLUSTER_RETRIES)
            .build()?;
        Ok(Self::Cluster(Box::new(client)))
    }

    async fn connect(&self, waits: Waits) -> RedisResult<Connection> {
        // How long an answer may take, the link sees to for whatever connection.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(waits.connect))
            .set_response_timeout(None);
        match self {
            Self::Single(client) => client
                .get_multiplexed_async_connection_with_config(&config)
                .await
                .map(Connection::Single),
            Self::Sentinel(sentinels) => {
                let mut sentinels = sentinels.lock().await;
                sentinels.rotate_left(1);
                let next = sentinels.front_mut().expect("a URL names one at least");
                next.get_async_connection_with_config(&config)
                    .await
                    .map(Connection::Single)
            }
            Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

/// What stands behind the scheme.
struct Parts<'a> {
    /// Empty, or ends in `@`.
    user: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, UrlError> {
        let (user, rest) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<&str> = hosts.split(',').collect();
        if hosts.iter().any(|host| host.is_empty()) {
            return Err(UrlError("a host is missing: HOST:PORT[,HOST:PORT…]".into()));
        }
        Ok(Self { user, hosts, path })
    }
}

/// A connection that many calls share.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
