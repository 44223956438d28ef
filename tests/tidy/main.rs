//! The house itself: who imports whom, how long files are, whether documents agree with the code.
