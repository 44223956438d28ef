//! Every operation of the OpenAPI document against every way to get it wrong.

use super::door::{Door, problem};
use crate::api::OPERATIONS;
use crate::openapi::document;
use astral_proto::NodeId;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::PathBuf;
use warp::test::RequestBuilder;

const ROLES: [&str; 3] = ["admin", "read", "node"];

/// One operation, as documents describe it.
struct Described {
    method: String,
    path: String,
    about: Value,
}

fn described() -> Vec<Described> {
    let document = document(&OPERATIONS);
    let paths = document["paths"].as_object().unwrap().iter();
    let of_path = |(path, methods): (&String, &Value)| {
        let path = path.clone();
        let methods = methods.as_object().unwrap().clone().into_iter();
        methods
            .map(move |(method, about)| Described {
                method: method.to_uppercase(),
                path: path.clone(),
                about,
            })
            .collect::<Vec<_>>()
    };
    paths.flat_map(of_path).collect()
}

impl Described {
    fn roles(&self) -> Vec<&str> {
        self.about["x-roles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|role| role.as_str().unwrap())
            .collect()
    }

    fn has_query(&self, name: &str) -> bool {
        self.about["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .any(|parameter| parameter["name"] == name)
    }

    /// Its path, about `demo` and `node`.
    fn path(&self, node: NodeId) -> String {
        let node = node.to_string();
        self.path
            .replace("{slug}", "demo")
            .replace("{uuid}", &node)
            .replace("{destination}", &node)
    }

    fn request(&self, node: NodeId, query: &str) -> RequestBuilder {
        warp::test::request()
            .method(&self.method)
            .path(&format!("{}?{query}", self.path(node)))
    }

    /// The largest JSON body.
    fn body_bytes_max(&self) -> Option<usize> {
        let body = &self.about["requestBody"];
        body["content"].get("application/json")?;
        Some(body["x-max-bytes"].as_u64().unwrap() as usize)
    }
}

/// A gateway with one token of each role, which is the role's name; that of role `node` is for
/// `node`.
struct Guarded {
    door: Door,
    file: PathBuf,
    node: NodeId,
}

impl Guarded {
    fn new(name: &str) -> Self {
        let node = NodeId::random();
        let mut text = String::new();
        for role in ROLES {
            let hash = Sha256::digest(role)
                .iter()
                .fold(String::new(), |all, byte| format!("{all}{byte:02x}"));
            writeln!(
                text,
                "[[token]]\nname = \"{role}\"\nrole = \"{role}\"\nsha256 = \"{hash}\""
            )
            .unwrap();
            if role == "node" {
                writeln!(text, "node = \"{node}\"").unwrap();
            }
        }
        let file =
            std::env::temp_dir().join(format!("astral-table-{}-{name}.toml", std::process::id()));
        std::fs::write(&file, text).unwrap();
        Self {
            door: Door::with_tokens(&file),
            file,
            node,
        }
    }

    async fn send(
        &self,
        operation: &Described,
        query: &str,
        token: Option<&str>,
    ) -> Response<Bytes> {
        let request = operation.request(self.node, query);
        self.door.send(bearing(request, token)).await
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.file));
    }
}

fn bearing(request: RequestBuilder, token: Option<&str>) -> RequestBuilder {
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

/// Events do not end, so that an answer to a good request for them never comes.
fn ends(operation: &Described) -> bool {
    operation.path != "/v1/events"
}

#[tokio::test]
async fn what_is_not_open_wants_a_token() {
    let guarded = Guarded::new("none");
    for operation in described() {
        for token in [None, Some("guess"), Some("")] {
            let response = guarded.send(&operation, "", token).await;
            if operation.roles().is_empty() {
                assert_ne!(
                    response.status(),
                    401,
                    "{} {}",
                    operation.method,
                    operation.path
                );
            } else {
                problem(&response, 401, "unauthenticated");
                assert!(
                    response.headers()["www-authenticate"]
                        .to_str()
                        .unwrap()
                        .starts_with("Bearer")
                );
            }
        }
    }
}

#[tokio::test]
async fn each_role_may_do_what_documents_say_and_no_more() {
    let guarded = Guarded::new("roles");
    for operation in described().iter().filter(|operation| ends(operation)) {
        for role in ROLES {
            let response = guarded.send(operation, "", Some(role)).await;
            let what = format!("{role} {} {}", operation.method, operation.path);
            if operation.roles().is_empty() || operation.roles().contains(&role) {
                assert!(
                    ![401, 403, 404, 405].contains(&response.status().as_u16()),
                    "{what}"
                );
            } else {
                let detail = problem(&response, 403, "forbidden");
                assert!(detail.contains(role), "{what}: {detail}");
            }
        }
    }
}

#[tokio::test]
async fn a_node_acts_for_itself_alone() {
    let guarded = Guarded::new("own");
    for operation in described() {
        let names_a_node =
            operation.path.contains("{uuid}") || operation.path.contains("{destination}");
        if names_a_node && operation.roles().contains(&"node") {
            let request = operation.request(NodeId::random(), "");
            let response = guarded.door.send(bearing(request, Some("node"))).await;
            let detail = problem(&response, 403, "forbidden");
            assert!(detail.contains(&guarded.node.to_string()), "{detail}");
        }
    }
    let other = NodeId::random();
    for (path, body) in [
        (
            "/v1/node/streams/demo/tickets",
            json!({"slug": "demo", "subscriber": other, "exclude": []}),
        ),
        (
            "/v1/node",
            json!({"node": other, "role": "auto", "media_url": "", "rtmp_url": "", "advertise": "",
                   "limit_kbps": 1, "rtts": []}),
        ),
    ] {
        let request = warp::test::request()
            .method("POST")
            .path(path)
            .body(body.to_string());
        problem(
            &guarded.door.send(bearing(request, Some("node"))).await,
            403,
            "forbidden",
        );
    }
}

#[tokio::test]
async fn fields_that_are_not_known_are_refused_by_name_except_in_what_nodes_say() {
    let guarded = Guarded::new("unknown");
    for operation in described() {
        let response = guarded.send(&operation, "colour=red", Some("admin")).await;
        let detail = problem(&response, 400, "bad_request");
        assert!(
            detail.contains("colour"),
            "{} {}: {detail}",
            operation.method,
            operation.path
        );
        let is_for_people = !operation.roles().contains(&"node");
        if is_for_people && operation.body_bytes_max().is_some() {
            let request = operation
                .request(guarded.node, "")
                .body(r#"{"colour": "red"}"#);
            let response = guarded.door.send(bearing(request, Some("admin"))).await;
            let detail = problem(&response, 400, "bad_request");
            assert!(
                detail.contains("colour"),
                "{} {}: {detail}",
                operation.method,
                operation.path
            );
        }
    }
}

#[tokio::test]
async fn bodies_over_their_limit_are_refused() {
    let guarded = Guarded::new("large");
    let with_bodies = described()
        .into_iter()
        .filter(|operation| operation.body_bytes_max().is_some());
    for operation in with_bodies {
        let bytes_max = operation.body_bytes_max().unwrap();
        let request = operation
            .request(guarded.node, "")
            .body(vec![b' '; bytes_max + 1]);
        let response = guarded.door.send(bearing(request, Some("admin"))).await;
        assert!(problem(&response, 413, "bad_request").contains(&bytes_max.to_string()));
    }
}

#[tokio::test]
async fn a_cursor_that_no_page_gave_is_refused() {
    let guarded = Guarded::new("cursor");
    let lists: Vec<_> = described()
        .into_iter()
        .filter(|operation| operation.has_query("cursor"))
        .collect();
    assert!(lists.len() >= 6, "lists have pages");
    for operation in lists {
        let long = "x".repeat(65);
        for bad in ["a%20b", "%00", &long, ""] {
            let response = guarded
                .send(&operation, &format!("cursor={bad}"), Some("admin"))
                .await;
            let detail = problem(&response, 400, "bad_request");
            assert!(detail.contains("cursor"), "{}: {detail}", operation.path);
        }
        let response = guarded.send(&operation, "limit=0", Some("admin")).await;
        assert!(problem(&response, 400, "bad_request").contains("limit"));
    }
}

#[test]
fn the_document_names_every_operation_once_and_refers_to_nothing_that_is_not_there() {
    let document = document(&OPERATIONS);
    let mut names: Vec<_> = described()
        .iter()
        .map(|operation| operation.about["operationId"].to_string())
        .collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn events_end_with_the_token_that_opened_them() {
    let guarded = Guarded::new("revoked");
    let socket = warp::test::ws()
        .path("/v1/events")
        .header("authorization", "Bearer read");
    let mut socket = socket.handshake(guarded.door.routes()).await.unwrap();
    assert!(socket.recv().await.unwrap().is_text());
    guarded.door.revoke_all();
    while let Ok(message) = socket.recv().await {
        if message.is_close() {
            break;
        }
    }
    problem(
        &guarded.door.get("/v1/topology").await,
        401,
        "unauthenticated",
    );
}

#[tokio::test]
async fn the_document_is_served_to_anyone() {
    let guarded = Guarded::new("document");
    let response = guarded.door.get("/v1/openapi.json").await;
    assert_eq!(
        serde_json::from_slice::<Value>(response.body()).unwrap(),
        document(&OPERATIONS)
    );
    let status = guarded.door.get("/docs").await.status();
    assert_eq!(status, 200);
}
