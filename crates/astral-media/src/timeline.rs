//! What an origin makes of a publish: numbers, times, GOPs, parts.
