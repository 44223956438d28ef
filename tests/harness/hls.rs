//! Finds URIs in a media playlist.

use crate::http;
use std::net::SocketAddr;

/// Returns the media playlist of `slug` at `media`; `None` without a 200.
pub async fn playlist(media: SocketAddr, slug: &str) -> Option<String> {
    let answer = http::get(media, &format!("/live/{slug}/media.m3u8")).await?;
    (answer.status == 200).then(|| answer.text())
}

/// Returns all sections, segments and parts in `playlist` that exist already, in order.
pub fn uris(playlist: &str) -> Vec<&str> {
    let line = |line: &'static str| move |text: &'_ str| text.starts_with(line);
    let is_map = line("#EXT-X-MAP:");
    let is_part = line("#EXT-X-PART:");
    let named = playlist.lines().filter_map(|text| {
        if is_map(text) || is_part(text) {
            let (_, rest) = text.split_once("URI=\"")?;
            return rest.split_once('"').map(|(uri, _)| uri);
        }
        (!text.is_empty() && !text.starts_with('#')).then_some(text)
    });
    named.collect()
}

/// Returns each initialization section in `playlist`, with the complete segments that need it.
pub fn runs(playlist: &str) -> Vec<(&str, Vec<&str>)> {
    let mut runs: Vec<(&str, Vec<&str>)> = Vec::new();
    for uri in uris(playlist)
        .into_iter()
        .filter(|uri| uri.matches('.').count() == 1)
    {
        match runs.last_mut() {
            _ if uri.ends_with(".mp4") => runs.push((uri, Vec::new())),
            Some((_, segments)) => segments.push(uri),
            None => {}
        }
    }
    runs
}

/// Returns EXT-X-MEDIA-SEQUENCE.
///
/// # Panics
/// If `playlist` has none.
pub fn media_sequence(playlist: &str) -> u64 {
    let value = playlist
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no media sequence:\n{playlist}"))
}
