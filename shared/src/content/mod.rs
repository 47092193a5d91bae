//! Content: technologies, controls, policies and scripts, parsed once from YAML.

pub mod control;
pub mod expect;
pub mod policy;
pub mod script;
pub mod technology;
