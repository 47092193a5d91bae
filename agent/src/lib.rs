//! The agent: evaluates controls on a host, runs assigned scripts on a stage, reports.
//!
//! `daemon` → `link`, `task` → `stage`, `cage`, `commit`, `evaluate` → `probe`.
//! `cage` knows no jobs, probes know no network.

pub mod activate;
pub mod cage;
pub mod cli;
pub mod clock;
pub mod commit;
pub mod config;
pub mod confirm;
pub mod controllers;
pub mod daemon;
pub mod diff;
pub mod durable;
pub mod enroll;
pub mod evaluate;
pub mod facts;
pub mod host;
pub mod identity;
pub mod leave;
pub mod link;
pub mod local;
pub mod managed;
pub mod mask;
pub mod meta;
pub mod paths;
pub mod preview;
pub mod probe;
pub mod root;
pub mod secret_file;
pub mod sight;
pub mod stage;
pub mod task;
pub mod undo;
pub mod verify;
