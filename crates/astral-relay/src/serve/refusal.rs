//! The answer to a viewer that is refused.

use crate::core::Relay;
use crate::http::{Request, Response};
use astral_proto::{Code, Problem};

/// The status that sends a viewer to the gateway.
pub const REDIRECT: u16 = 307;

/// The answer to a request that fails. If there is no room, the viewer is redirected to the
/// gateway, if one is known. The URL names this relay as full, so that the gateway does not send
/// the viewer back here. The connection is closed, because behind a shared address the next
/// connection may lead to another relay.
pub fn refusal(relay: &Relay, request: &Request, problem: &Problem) -> Response {
    let response = Response::problem(problem);
    let gateway = relay.gateway_url().filter(|_| problem.code == Code::Full);
    let Some(gateway) = gateway else {
        return response;
    };
    let query = request.query.iter().map(|query| format!("{query}&"));
    let here = relay.config().called_by_viewers();
    let location = format!(
        "{gateway}{}?{}full={here}",
        request.path,
        query.collect::<String>()
    );
    Response {
        status: REDIRECT,
        fields: vec![("Location", location)],
        ..response
    }
}
