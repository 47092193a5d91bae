//! Where state, settings and run-time files lie.
