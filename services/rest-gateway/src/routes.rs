//! Which request goes to which handler, and nothing else.

use crate::gateway::Gateway;
use crate::problem::{self, Refusal};
use crate::request::{body, from_this_origin, no_query, query, raw_query};
use crate::{assets, headers, nodes, ping, redirect, streams, tickets};
use astral_proto::{Problem, Slug};
use http::HeaderMap;
use std::{convert::Infallible, sync::Arc};
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

/// Every route of the gateway; what goes wrong is answered with a problem document.
pub(crate) fn all(
    gateway: Arc<Gateway>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let routes = rest_of_streams(&gateway)
        .or(rest_of_nodes_and_tickets(&gateway))
        .unify()
        .or(probes())
        .unify()
        .or(live(&gateway))
        .unify()
        .or(pages())
        .unify()
        .or(elsewhere())
        .unify()
        .recover(problem::recover)
        .unify();
    warp::path::full().and(routes).map(|path, response| headers::add(&path, response))
}

fn rest_of_streams(gateway: &Arc<Gateway>) -> BoxedFilter<(Response,)> {
    let list = warp::path!("v1" / "streams")
        .and(read())
        .and(query())
        .and(with(gateway))
        .then(streams::list)
        .map(answer);
    let create = warp::path!("v1" / "streams")
        .and(warp::post())
        .and(no_query())
        .and(body())
        .and(with(gateway))
        .then(streams::create)
        .map(answer);
    let get = warp::path!("v1" / "streams" / String)
        .and(read())
        .and(no_query())
        .and(with(gateway))
        .then(streams::get)
        .map(answer);
    let delete = warp::path!("v1" / "streams" / String)
        .and(warp::delete())
        .and(from_this_origin())
        .and(no_query())
        .and(with(gateway))
        .then(streams::delete)
        .map(answer);
    let tree = warp::path!("v1" / "streams" / String / "tree")
        .and(read())
        .and(no_query())
        .and(with(gateway))
        .then(streams::tree)
        .map(answer);
    list.or(create).unify().or(get).unify().or(delete).unify().or(tree).unify().boxed()
}

fn rest_of_nodes_and_tickets(gateway: &Arc<Gateway>) -> BoxedFilter<(Response,)> {
    let of_stream = warp::path!("v1" / "streams" / String / "tickets")
        .and(read())
        .and(query())
        .and(with(gateway))
        .then(tickets::of_stream)
        .map(answer);
    let tickets = warp::path!("v1" / "tickets")
        .and(read())
        .and(query())
        .and(with(gateway))
        .then(tickets::list)
        .map(answer);
    let list =
        warp::path!("v1" / "nodes").and(read()).and(query()).and(with(gateway)).then(nodes::list).map(answer);
    let get = warp::path!("v1" / "nodes" / String)
        .and(read())
        .and(no_query())
        .and(with(gateway))
        .then(nodes::get)
        .map(answer);
    let drill = warp::path!("v1" / "nodes" / String / "drill")
        .and(warp::post())
        .and(no_query())
        .and(body())
        .and(with(gateway))
        .then(nodes::drill)
        .map(answer);
    of_stream.or(tickets).unify().or(list).unify().or(get).unify().or(drill).unify().boxed()
}

fn probes() -> BoxedFilter<(Response,)> {
    let down = warp::path!("v1" / "ping").and(read()).and(query()).then(ping::down).map(answer);
    let up = warp::path!("v1" / "ping")
        .and(warp::post())
        .and(no_query())
        .and(warp::body::stream())
        .and_then(ping::up);
    down.or(up).unify().boxed()
}

fn live(gateway: &Arc<Gateway>) -> BoxedFilter<(Response,)> {
    warp::path("live")
        .and(read())
        .and(warp::path::full())
        .and(raw_query())
        .and(with(gateway))
        .then(redirect::to_relay)
        .map(answer)
        .boxed()
}

fn pages() -> BoxedFilter<(Response,)> {
    let request = || read().and(warp::header::headers_cloned());
    let index = warp::path::end()
        .and(request())
        .and_then(|headers: HeaderMap| async move { assets::serve("index.html", &headers) });
    let watch = warp::path!("watch" / String).and(request()).and_then(
        |slug: String, headers: HeaderMap| async move {
            slug.parse::<Slug>().map_err(problem::reject)?;
            assets::serve("watch.html", &headers)
        },
    );
    let asset = warp::path!("assets" / String).and(request()).and_then(
        |name: String, headers: HeaderMap| async move { assets::serve(&format!("assets/{name}"), &headers) },
    );
    index.or(watch).unify().or(asset).unify().boxed()
}

/// Everything else: a path that is known has other methods, one that is not has nothing.
fn elsewhere() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    warp::path::full().and_then(|path: FullPath| async move {
        Err(problem::reject_untaken(match methods(path.as_str()) {
            Some(allow) => Refusal::no_such_method(allow),
            None => Refusal::no_such_path(path.as_str()),
        }))
    })
}

fn methods(path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["v1", "streams"] | ["v1", "ping"] => Some("GET, HEAD, POST"),
        ["v1", "streams", _] => Some("GET, HEAD, DELETE"),
        ["v1", "nodes", _, "drill"] => Some("POST"),
        ["" | "live", ..]
        | ["watch" | "assets", _]
        | ["v1", "tickets" | "nodes"]
        | ["v1", "nodes", _]
        | ["v1", "streams", _, "tree" | "tickets"] => Some("GET, HEAD"),
        _ => None,
    }
}

fn read() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::get().or(warp::head()).unify()
}

fn with(
    gateway: &Arc<Gateway>,
) -> impl Filter<Extract = (Arc<Gateway>,), Error = Infallible> + Clone + use<> {
    let gateway = gateway.clone();
    warp::any().map(move || gateway.clone())
}

fn answer(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(|problem| problem::reply(&problem))
}

#[cfg(test)]
mod tests;
