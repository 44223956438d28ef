//! Codec configuration: what H.264 and AAC say of themselves.
