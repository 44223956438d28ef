//! The media playlist as it leaves, written once per change and shared by all requests.

use super::Log;
use crate::http;
use crate::sync::lock;
use astral_media::hls::media_playlist;
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// A media playlist in the forms that it leaves in.
pub struct Rendered {
    /// As plain text.
    pub text: Bytes,
    gzip: OnceLock<Bytes>,
    version: u64,
}

impl Rendered {
    /// The same in gzip, made when it is first asked for.
    pub fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| http::gzip(&self.text))
    }
}

impl Log {
    /// The media playlist as it is now; none before the target duration is fixed and something can be listed.
    pub fn media_playlist(&self) -> Option<Arc<Rendered>> {
        let mut rendered = lock(&self.rendered);
        let (version, playlist) = {
            let held = self.read_lock();
            if let Some(known) = rendered
                .as_ref()
                .filter(|known| known.version == held.version)
            {
                return Some(known.clone());
            }
            (held.version, held.playlist())
        };
        let text = playlist.map(|playlist| Bytes::from(media_playlist(&playlist)));
        *rendered = text.map(|text| {
            Arc::new(Rendered {
                text,
                gzip: OnceLock::new(),
                version,
            })
        });
        rendered.clone()
    }
}
