//! The one table of what the gateway serves: routing, rights and documents are made from it.

use crate::call::{AnyQuery, Call};
use crate::error::Error;
use crate::openapi::{self, Document};
use crate::operation::Operation;
use crate::rights::{ADMINS, ANYONE, MEMBERS, NODES, READERS};
use crate::{event_stream, nodes, pages, ping, redirect, settings, streams, tickets, topology};
use bytes::Bytes;
use http::Method;
use std::sync::LazyLock;

/// Every operation.
pub(crate) static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    [
        streams_of_the_network(),
        tickets_of_streams(),
        nodes_of_the_network(),
        node_protocol(&NODE_PATHS),
        node_protocol(&NODE_PATHS_BEFORE)
            .into_iter()
            .map(Operation::undocumented)
            .collect(),
        the_gateway(),
        pages(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// The OpenAPI document, which is rendered once.
static OPENAPI: LazyLock<Bytes> =
    LazyLock::new(|| openapi::document(&OPERATIONS).to_string().into());

async fn openapi_document(_: Call) -> Result<Document, Error> {
    Ok(Document(OPENAPI.clone()))
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

const STREAMS: &str = "/v1/streams";
const STREAM: &str = "/v1/streams/{slug}";
const TICKETS: &str = "/v1/streams/{slug}/tickets";
const SUBSCRIBER: &str = "/v1/streams/{slug}/tickets/{destination}";

fn streams_of_the_network() -> Vec<Operation> {
    vec![
        Operation::new(GET, STREAMS, ANYONE, streams::list)
            .documented("listStreams", "Streams, by name"),
        Operation::new(POST, STREAMS, ADMINS, streams::create)
            .documented("createStream", "Make a stream"),
        Operation::new(GET, STREAM, ANYONE, streams::get).documented("getStream", "One stream"),
        Operation::new(PUT, STREAM, ADMINS, streams::change).documented(
            "changeStream",
            "Pause a stream or let it go on, and change its publish key",
        ),
        Operation::new(DELETE, STREAM, ADMINS, streams::delete).documented(
            "deleteStream",
            "Take a stream off the list and cut its publisher off",
        ),
        Operation::new(GET, "/v1/streams/{slug}/tree", READERS, streams::tree).documented(
            "getTree",
            "The relays that carry a stream, at most one heartbeat old",
        ),
    ]
}

fn tickets_of_streams() -> Vec<Operation> {
    vec![
        Operation::new(GET, TICKETS, READERS, tickets::of_stream)
            .documented("listTicketsOfStream", "Tickets of one stream, by id"),
        Operation::new(GET, SUBSCRIBER, MEMBERS, tickets::of_subscriber)
            .documented("getTickets", "Tickets by which one relay pulls a stream"),
        Operation::new(GET, "/v1/tickets", READERS, tickets::list)
            .documented("listTickets", "All tickets, by id"),
    ]
}

fn nodes_of_the_network() -> Vec<Operation> {
    vec![
        Operation::new(GET, "/v1/nodes", MEMBERS, nodes::list)
            .documented("listNodes", "Nodes, by id"),
        Operation::new(GET, "/v1/nodes/{uuid}", MEMBERS, nodes::get)
            .documented("getNode", "One node"),
        Operation::new(POST, "/v1/nodes/{uuid}/drill", ADMINS, nodes::drill).documented(
            "drill",
            "Put a fault on one node for a while, where drills are allowed",
        ),
    ]
}

/// The paths of the operations of nodes outside the cluster.
struct NodePaths {
    register: &'static str,
    node: &'static str,
    requests: &'static str,
    origin: &'static str,
    gone: &'static str,
    tickets: &'static str,
    subscriber: &'static str,
}

const NODE_PATHS: NodePaths = NodePaths {
    register: "/v1/node",
    node: "/v1/node/{uuid}",
    requests: "/v1/node/{uuid}/requests",
    origin: "/v1/node/streams/{slug}/origin",
    gone: "/v1/node/streams/{slug}/origin/gone",
    tickets: "/v1/node/streams/{slug}/tickets",
    subscriber: "/v1/node/streams/{slug}/tickets/{destination}",
};

/// The paths of the previous version, which its nodes still use.
const NODE_PATHS_BEFORE: NodePaths = NodePaths {
    register: "/v1/nodes",
    node: "/v1/nodes/{uuid}",
    requests: "/v1/nodes/{uuid}/requests",
    origin: "/v1/streams/{slug}/origin",
    gone: "/v1/streams/{slug}/origin/gone",
    tickets: TICKETS,
    subscriber: SUBSCRIBER,
};

/// The operations of nodes outside the cluster. Nodes inside send the same messages over the bus.
fn node_protocol(at: &NodePaths) -> Vec<Operation> {
    vec![
        Operation::new(POST, at.register, NODES, nodes::register)
            .documented("registerNode", "Join"),
        Operation::new(PUT, at.node, NODES, nodes::heartbeat)
            .documented(
                "heartbeat",
                "State all that a node carries, serves and holds, every 2 s",
            )
            .routine(),
        Operation::new(DELETE, at.node, NODES, nodes::leave).documented("leaveNode", "Leave"),
        Operation::new(GET, at.requests, NODES, nodes::requests::open).documented(
            "nodeRequests",
            "WebSocket: NodeAsk comes down, NodeAnswer goes up, as text; a newer one takes over",
        ),
        Operation::new(PUT, at.origin, NODES, streams::go_live).documented(
            "goLive",
            "Be the origin of a stream whose publisher has come to this node",
        ),
        Operation::new(POST, at.gone, NODES, streams::publisher_gone).documented(
            "publisherGone",
            "Tell that the publisher has gone, or its grace window is over",
        ),
        Operation::new(POST, at.tickets, NODES, tickets::request)
            .documented(
                "requestTicket",
                "Get a ticket to pull a stream by, and a standby",
            )
            .routine(),
        Operation::new(PUT, at.subscriber, NODES, tickets::change)
            .documented(
                "changeTicket",
                "Confirm a ticket whose link is open, or switch to the standby",
            )
            .routine(),
        Operation::new(DELETE, at.subscriber, NODES, tickets::cancel)
            .documented("cancelTicket", "Give a ticket back")
            .routine(),
    ]
}

fn the_gateway() -> Vec<Operation> {
    vec![
        Operation::new(GET, "/v1/topology", READERS, topology::get).documented(
            "getTopology",
            "Nodes and the trees of streams on air, so many streams a page",
        ),
        Operation::new(GET, "/v1/events", READERS, event_stream::open).documented(
            "events",
            "Streams, nodes and tickets as they come, change and go: SSE, or a WebSocket",
        ),
        Operation::new(GET, "/v1/settings", ADMINS, settings::get)
            .documented("getSettings", "How this gateway is set up"),
        Operation::new(GET, "/v1/ingest", ANYONE, settings::ingest)
            .documented("getIngest", "Where publishers send their streams"),
        Operation::new(GET, "/v1/openapi.json", ANYONE, openapi_document)
            .documented("getOpenApi", "This document"),
        Operation::new(GET, "/v1/ping", MEMBERS, ping::down)
            .documented("pingDown", "As many bytes as asked for, up to 4 MiB"),
        Operation::new(POST, "/v1/ping", MEMBERS, ping::up)
            .documented("pingUp", "Count the bytes of a body, up to 4 MiB")
            .routine(),
    ]
}

fn pages() -> Vec<Operation> {
    vec![
        Operation::new(GET, "/live/{path*}", ANYONE, redirect::to_relay),
        Operation::new(GET, "/", ANYONE, |call: Call<(), AnyQuery>| {
            pages::serve("index.html", call)
        }),
        Operation::new(GET, "/network", ANYONE, |call: Call<(), AnyQuery>| {
            pages::serve("network.html", call)
        }),
        Operation::new(GET, "/docs", ANYONE, |call: Call<(), AnyQuery>| {
            pages::serve("docs.html", call)
        }),
        Operation::new(GET, "/watch/{slug}", ANYONE, pages::watch),
        Operation::new(GET, "/assets/{name}", ANYONE, pages::asset),
    ]
}
