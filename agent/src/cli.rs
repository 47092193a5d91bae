//! The agent's own command line.
