//! Controls to observations, each file read once.
