//! The media playlist in the forms that leave a relay, written once per change and shared by all
//! requests.

use crate::http::gzip;
use astral_runtime::lock;
use bytes::Bytes;
use std::sync::{Arc, Mutex, OnceLock};

/// A media playlist in the forms that leave a relay.
pub struct RenderedPlaylist {
    /// Plain text.
    pub text: Bytes,
    gzip: OnceLock<Bytes>,
    version: u64,
}

impl RenderedPlaylist {
    /// The playlist in gzip, which is made when it is first asked for.
    pub fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| gzip(&self.text))
    }
}

/// The media playlist that was rendered last.
#[derive(Default)]
pub struct PlaylistCache {
    newest: Mutex<Option<Arc<RenderedPlaylist>>>,
}

impl PlaylistCache {
    /// The playlist of `version`; `render` makes it, if it is not the one that was rendered last.
    /// The lock is held meanwhile, so that of many requests that were woken together one renders
    /// and the others wait for it.
    pub fn get(
        &self,
        version: impl FnOnce() -> u64,
        render: impl FnOnce() -> (u64, Option<Bytes>),
    ) -> Option<Arc<RenderedPlaylist>> {
        let mut newest = lock(&self.newest);
        let version = version();
        if let Some(known) = newest.as_ref().filter(|known| known.version == version) {
            return Some(known.clone());
        }
        let (version, text) = render();
        *newest = text.map(|text| {
            Arc::new(RenderedPlaylist {
                text,
                gzip: OnceLock::new(),
                version,
            })
        });
        newest.clone()
    }
}
