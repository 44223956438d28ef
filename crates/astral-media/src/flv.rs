//! FLV: tags in (a publisher's messages) and tags out (HTTP-FLV).
