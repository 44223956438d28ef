//! RTMP without sockets.
