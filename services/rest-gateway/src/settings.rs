//! How the gateway is set up.

use crate::answer::Json;
use crate::call::Call;
use crate::error::Error;
use astral_proto::rest::{Ingest, Settings};

/// The effective settings; tokens are counted, never shown.
pub(crate) async fn get(call: Call) -> Result<Json<Settings>, Error> {
    let api_tokens = call.gateway.tokens.as_ref().map(|tokens| tokens.count());
    Ok(Json(Settings {
        api_tokens,
        ..call.gateway.settings.clone()
    }))
}

/// Where to publish.
pub(crate) async fn ingest(call: Call) -> Result<Json<Ingest>, Error> {
    Ok(Json(Ingest {
        publish_url: call.gateway.settings.publish_url.clone(),
    }))
}
