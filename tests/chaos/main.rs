//! Processes are killed, frozen, cut off and told to stop, over a real NATS and a real Redis: viewers do not see it.
//!
//! `ASTRAL_CHAOS` is how many rounds the drills run, 3 unless told; with it, gaps in arrival are held to what is promised.

mod backend;
mod clocks;
mod control;
mod declared;
mod drain;
mod edge;
mod frozen;
mod gaps;
mod network;
mod provider;
mod refusing;
mod suspicion;
