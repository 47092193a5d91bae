//! A copy-on-write view of the host's files, and what a script changed on it.

pub mod change;

pub use change::{Change, ChangeSet};
