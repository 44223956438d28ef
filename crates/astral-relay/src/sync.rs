//! The locks of the relay follow the policy of [`astral_runtime::lock`].

pub use astral_runtime::{lock, read_lock as read, write_lock as write};
