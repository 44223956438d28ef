//! A gateway with small services behind it, and what its answers say.

use crate::events::Events;
use crate::rights::Tokens;
use crate::sockets::Sockets;
use crate::{gateway::Gateway, relays::Relays, routes::all};
use astral_backend::{Backend, Bus};
use astral_proto::message::{
    CreateStream, DeleteStream, GetStream, GetTree, ListNodes, ListStreams, Request,
};
use astral_proto::model::{
    Node, NodeState, Page, Role, Stream, StreamState, Tree, TreeRelay, Viewers,
};
use astral_proto::rest::Settings;
use astral_proto::{Code, Kbps, NodeId, Problem, UnixMillis};
use astral_runtime::TaskScope;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;
use warp::test::RequestBuilder;

/// A gateway and the bus behind it.
pub struct Door {
    gateway: Arc<Gateway>,
    pub services: TaskScope,
}

impl Door {
    pub fn new() -> Self {
        Self::with_drills(false)
    }

    pub fn with_drills(drills: bool) -> Self {
        Self::with(drills, None)
    }

    /// One that asks for the tokens in `path`.
    pub fn with_tokens(path: &std::path::Path) -> Self {
        Self::with(true, Some(Arc::new(Tokens::read(path).unwrap())))
    }

    fn with(drills: bool, tokens: Option<Arc<Tokens>>) -> Self {
        let bus = Backend::local().bus;
        let services = TaskScope::default();
        let gateway = Gateway {
            relays: Relays::new(bus.clone()),
            bus,
            drills,
            tokens,
            events: Arc::default(),
            settings: Settings {
                version: "0".into(),
                http_listen: "here".into(),
                allow_drills: drills,
                allow_open: false,
                api_tokens_file: None,
                api_tokens: None,
                publish_url: Some("rtmp://publish.example/live".into()),
            },
            sockets: Sockets::default(),
            serving: services.clone(),
        };
        Self {
            gateway: Arc::new(gateway),
            services,
        }
    }

    /// Takes the tokens from all who hold one.
    pub fn revoke_all(&self) {
        self.gateway.tokens.as_ref().unwrap().revoke_all();
    }

    pub fn events(&self) -> &Arc<Events> {
        &self.gateway.events
    }

    pub fn bus(&self) -> &Bus {
        &self.gateway.bus
    }

    pub async fn send(&self, request: RequestBuilder) -> Response<Bytes> {
        request.reply(&all(self.gateway.clone())).await
    }

    pub async fn get(&self, path: &str) -> Response<Bytes> {
        self.send(warp::test::request().path(path)).await
    }

    /// Every route.
    pub fn routes(
        &self,
    ) -> impl warp::Filter<Extract = (warp::reply::Response,), Error = Infallible> + Clone + use<>
    {
        all(self.gateway.clone())
    }

    pub async fn put(&self, path: &str, body: &Value) -> Response<Bytes> {
        self.send(
            warp::test::request()
                .method("PUT")
                .path(path)
                .body(body.to_string()),
        )
        .await
    }

    pub async fn delete(&self, path: &str) -> Response<Bytes> {
        self.send(warp::test::request().method("DELETE").path(path))
            .await
    }

    /// A service that answers requests of type `R` with `reply`, and what it was asked.
    pub async fn serving<R: Request + Clone>(&self, reply: R::Reply) -> mpsc::Receiver<R>
    where
        R::Reply: Clone,
    {
        let (heard, asked) = mpsc::channel(8);
        let handler = move |ask: R| {
            let heard = heard.clone();
            let reply = reply.clone();
            async move {
                heard.send(ask).await.unwrap();
                Ok(reply)
            }
        };
        self.bus()
            .serve("service", &self.services, handler)
            .await
            .unwrap();
        asked
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response<Bytes> {
        self.send(
            warp::test::request()
                .method("POST")
                .path(path)
                .body(body.to_string()),
        )
        .await
    }

    /// A directory that knows `demo` alone, and lists it with the limit asked for as its bitrate.
    pub async fn with_directory(self) -> Self {
        let bus = self.bus();
        let services = &self.services;
        bus.serve("directory", services, |ask: ListStreams| async move {
            Ok(Page {
                items: vec![Stream {
                    kbps: Kbps::new(ask.limit),
                    ..demo()
                }],
                next_cursor: ask.cursor,
            })
        })
        .await
        .unwrap();
        bus.serve("directory", services, |ask: GetStream| async move {
            known(ask.slug.as_str())
        })
        .await
        .unwrap();
        let create = |ask: CreateStream| async move {
            known(ask.slug.as_str()).map_or_else(
                |_| {
                    Ok(Stream {
                        slug: ask.slug,
                        ..demo()
                    })
                },
                |_| Err(Problem::new(Code::Conflict, "stream demo is there already")),
            )
        };
        bus.serve("directory", services, create).await.unwrap();
        let delete = |ask: DeleteStream| async move { known(ask.slug.as_str()).map(drop) };
        bus.serve("directory", services, delete).await.unwrap();
        self
    }

    pub async fn with_nodes(self, nodes: Vec<Node>) -> Self {
        let list = move |_: ListNodes| {
            let items = nodes.clone();
            async move {
                Ok(Page {
                    items,
                    next_cursor: None,
                })
            }
        };
        self.bus()
            .serve("supernode-coordinator", &self.services, list)
            .await
            .unwrap();
        self
    }

    pub async fn with_tree(self, carrier: &Node) -> Self {
        let relay = TreeRelay {
            node: carrier.uuid,
            media_url: carrier.media_url.clone(),
            provider: None,
            standby: None,
            hops: 0,
            newest: None,
            viewers: Viewers::default(),
            silent_ms: None,
            behind_ms: None,
            as_of: UnixMillis::new(0),
        };
        let tree = move |ask: GetTree| {
            let relays = vec![relay.clone()];
            async move {
                Ok(Tree {
                    slug: ask.slug,
                    epoch: 1,
                    relays,
                })
            }
        };
        self.bus()
            .serve("ticket-broker", &self.services, tree)
            .await
            .unwrap();
        self
    }

    /// Lets other services take the place of those that were cut off.
    pub fn with_services_anew(self) -> Self {
        let services = TaskScope::default();
        Self { services, ..self }
    }

    /// Takes the control plane away.
    pub async fn cut_off(&self) {
        self.services.stopping.cancel();
        self.services.tasks.close();
        self.services.tasks.wait().await;
    }
}

fn demo() -> Stream {
    Stream {
        slug: "demo".parse().unwrap(),
        state: StreamState::Live,
        epoch: 1,
        origin: None,
        kbps: Kbps::new(2500),
        started_at: Some(UnixMillis::new(1)),
        last_seen_at: Some(UnixMillis::new(2)),
        viewers: Viewers {
            flv: 1,
            rtmp: 0,
            hls: 2,
        },
        warnings: vec![],
        last_refusal: None,
    }
}

fn known(slug: &str) -> Result<Stream, Problem> {
    if slug == "demo" {
        Ok(demo())
    } else {
        Err(Problem::new(Code::NotFound, format!("no stream {slug}")))
    }
}

pub fn node(port: u16, limit_kbps: u32) -> Node {
    Node {
        uuid: NodeId::random(),
        name: String::new(),
        role: Role::Supernode,
        state: NodeState::Up,
        media_url: format!("http://relay:{port}"),
        rtmp_url: "rtmp://relay:1935/live".into(),
        advertise: format!("relay:{port}"),
        primary_supernode: None,
        limit_kbps: Kbps::new(limit_kbps),
        promised_kbps: Kbps::new(0),
        viewer_kbps: Kbps::new(0),
        streams: 1,
    }
}

pub fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

pub fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
        .unwrap_or_default()
}

/// Checks that `response` is a problem document and returns its detail.
#[track_caller]
pub fn problem(response: &Response<Bytes>, status: u16, code: &str) -> String {
    let document = body(response);
    assert_eq!(response.status(), status, "{document}");
    assert_eq!(header(response, "content-type"), "application/problem+json");
    assert_eq!(
        (&document["status"], &document["code"]),
        (&json!(status), &json!(code))
    );
    document["detail"].as_str().unwrap().to_owned()
}
