//! The effective settings of the gateway.

use crate::answer::Json;
use crate::call::Call;
use crate::error::Error;
use astral_proto::rest::{Ingest, Settings};

/// Returns the effective settings. Tokens are counted and never shown.
pub(crate) async fn get(call: Call) -> Result<Json<Settings>, Error> {
    let api_tokens = call.gateway.tokens.as_ref().map(|tokens| tokens.count());
    Ok(Json(Settings {
        api_tokens,
        ..call.gateway.settings.clone()
    }))
}

/// Returns where publishers send their streams.
pub(crate) async fn ingest(call: Call) -> Result<Json<Ingest>, Error> {
    Ok(Json(Ingest {
        publish_url: call.gateway.settings.publish_url.clone(),
    }))
}
