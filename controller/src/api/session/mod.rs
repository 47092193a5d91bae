//! Log-ins.

pub mod create;
pub mod delete;
