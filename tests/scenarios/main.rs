//! The main job, over real sockets with a real ffmpeg: publish, relay, watch, break, heal.

mod addresses;
mod balancer;
mod chain;
mod charges;
mod drain;
mod drills;
mod edge;
mod encoders;
mod full;
mod incarnation;
mod main_job;
mod many_names;
mod on_demand;
mod publishers;
mod shapes;
mod versions;
