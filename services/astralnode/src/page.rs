//! The page of the local control API, carried inside the binary.

/// A file of the page with its media type.
pub struct Asset {
    /// Its bytes.
    pub text: &'static str,
    /// Content-Type.
    pub content_type: &'static str,
}

/// What is at `path`, if it belongs to the page.
pub fn asset(path: &str) -> Option<Asset> {
    let (text, content_type) = match path {
        "/" => (
            include_str!("../web/index.html"),
            "text/html; charset=utf-8",
        ),
        "/page.js" => (
            include_str!("../web/page.js"),
            "text/javascript; charset=utf-8",
        ),
        "/style.css" => (include_str!("../web/style.css"), "text/css; charset=utf-8"),
        "/logo.svg" => (include_str!("../web/logo.svg"), "image/svg+xml"),
        _ => return None,
    };
    Some(Asset { text, content_type })
}
