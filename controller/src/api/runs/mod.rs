//! Runs, as operators see and steer them.

pub mod show;
pub mod steer;
