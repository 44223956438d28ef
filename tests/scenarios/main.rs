//! The main job, over real sockets with a real ffmpeg: publish, relay, watch, break, heal.
