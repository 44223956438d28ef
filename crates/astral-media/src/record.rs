//! The relay link's records.
