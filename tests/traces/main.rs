//! Traces, over processes as in production and a collector that keeps what they send.

mod failover;
mod join;
mod outage;
