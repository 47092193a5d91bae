//! The agent: evaluates controls on a host, runs assigned scripts on a stage, reports.
//!
//! `daemon` → `link`, `task` → `stage`, `cage`, `commit`, `evaluate` → `probe`.
//! `cage` knows no jobs, probes know no network.

pub mod activate;
#[cfg(target_os = "linux")]
pub mod cage;
#[cfg(any(windows, test))]
pub mod caseless;
pub mod change;
pub mod cli;
pub mod clock;
pub mod commit;
pub mod config;
pub mod confirm;
pub mod controllers;
mod cut_off;
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
#[cfg_attr(target_os = "linux", path = "meta/linux.rs")]
#[cfg_attr(windows, path = "meta/windows.rs")]
pub mod meta;
pub mod output;
pub mod paths;
pub mod preview;
pub mod probe;
#[cfg(windows)]
pub mod registry;
#[cfg_attr(target_os = "linux", path = "root/linux.rs")]
#[cfg_attr(windows, path = "root/windows.rs")]
pub mod root;
#[cfg(any(windows, test))]
pub mod sddl;
pub mod secret_file;
#[cfg_attr(target_os = "linux", path = "service/linux.rs")]
#[cfg_attr(windows, path = "service/windows.rs")]
pub mod service;
pub mod sight;
#[cfg(target_os = "linux")]
pub mod stage;
#[cfg_attr(target_os = "linux", path = "system/linux.rs")]
#[cfg_attr(windows, path = "system/windows.rs")]
pub mod system;
pub mod task;
pub mod undo;
pub mod verify;
#[cfg(windows)]
pub mod windows;
#[cfg(windows)]
pub mod witness;
