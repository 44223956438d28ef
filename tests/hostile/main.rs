//! Bad input ends its own connection and nothing else.
