//! agent.toml.
