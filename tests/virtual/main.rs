//! Scenarios without sockets, on paused time: real relays and control services joined within this process. What takes
//! minutes elsewhere takes a moment here, and a gap is what the rules make of it, whatever else the machine does.

// A whole network started in one future is deeper than the compiler expects.
#![recursion_limit = "256"]

mod failover;
mod moves;
mod outage;
mod publisher;
mod suspicion;
mod tickets;
mod wire;
mod world;
