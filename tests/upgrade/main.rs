//! Programs of the previous release and of this one in one network, while a stream runs: no viewer loses a frame.
//!
//! `make test-upgrade` builds the programs of the previous release and runs this. `ASTRAL_PREVIOUS` is their folder.

mod links;
mod rolling;
mod version;
