//! The OpenAPI 3.1 document. It is generated from the table of operations and their types.

use crate::answer::Answer;
use crate::error;
use crate::operation::{Operation, Shape};
use crate::rights::Who;
use astral_proto::Code;
use astral_proto::rest::{NodeAnswer, NodeAsk};
use bytes::Bytes;
use http::{HeaderValue, header};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use warp::reply::Reply;

/// An error in an answer: RFC 9457.
#[derive(JsonSchema)]
#[schemars(rename = "Problem")]
#[allow(
    dead_code,
    reason = "only its schema is used; what is sent is `Problem::document`"
)]
struct ProblemDocument {
    /// Always `about:blank`: the code identifies the error.
    r#type: String,
    /// The code in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The class of the error.
    code: Code,
    /// What was wrong, with which value, and what to do.
    detail: String,
}

/// The document as an answer.
pub(crate) struct Document(pub(crate) Bytes);

impl Answer for Document {
    const STATUS: u16 = 200;

    fn content(_: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        Some(("application/json", Schema::from(true)))
    }

    fn into_response(self) -> warp::reply::Response {
        let mut response = http::Response::new(self.0).into_response();
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

/// The document that describes `operations`.
pub(crate) fn document(operations: &[Operation]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for operation in operations
        .iter()
        .filter(|operation| operation.is_documented())
    {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_lowercase()] = describe(operation, &mut generator);
    }
    // What goes over the socket of a node's requests, which no operation has as its body.
    generator.subschema_for::<NodeAsk>();
    generator.subschema_for::<NodeAnswer>();
    let problem = generator.subschema_for::<ProblemDocument>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Astral",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT", "identifier": "MIT"},
            "description": "Live streams through a tree of relays. Where a gateway asks for tokens, send \
                            `Authorization: Bearer TOKEN`; each operation names the roles that may call it.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {"Problem": {
                "description": "What went wrong",
                "content": {error::CONTENT_TYPE: {"schema": problem}},
            }},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let shape = (operation.shape)(generator);
    let mut parameters = path_parameters(operation.path, &shape);
    parameters.extend(query_parameters(&shape.query));
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.path.split('/').nth(2).unwrap_or_default()],
        "parameters": parameters,
        "responses": responses(operation, &shape),
        "security": match operation.who {
            Who::Anyone => json!([]),
            Who::Roles(_) => json!([{"bearer": []}]),
        },
        "x-roles": operation.who.roles(),
    });
    if let Some((media_type, schema)) = shape.body {
        described["requestBody"] = json!({
            "required": true,
            "content": {media_type: {"schema": schema}},
            "x-max-bytes": shape.body_bytes_max,
        });
    }
    described
}

fn path_parameters(path: &str, shape: &Shape) -> Vec<Value> {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |(name, schema): (&str, &Schema)| json!({"name": name, "in": "path", "required": true, "schema": schema});
    names.zip(&shape.parameters).map(parameter).collect()
}

fn query_parameters(query: &Schema) -> Vec<Value> {
    let properties = query
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let required = query
        .get("required")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema
            .as_object_mut()
            .and_then(|schema| schema.remove("description"));
        let required = required.contains(&name.as_str().into());
        json!({"name": name, "in": "query", "required": required, "schema": schema, "description": description.unwrap_or_default()})
    };
    properties.into_iter().map(parameter).collect()
}

fn responses(operation: &Operation, shape: &Shape) -> Value {
    let mut good = json!({"description": http::StatusCode::from_u16(shape.status).ok().and_then(|status| status.canonical_reason())});
    if let Some((media_type, schema)) = &shape.content {
        good["content"] = json!({*media_type: {"schema": schema}});
    }
    let problem = json!({"$ref": "#/components/responses/Problem"});
    let mut responses = json!({shape.status.to_string(): good, "default": problem});
    if operation.who != crate::rights::ANYONE {
        responses["401"] = problem.clone();
        responses["403"] = problem;
    }
    responses
}
