//! The subcommands, a file each.

pub mod admin_reset;
pub mod backup;
pub mod check_config;
mod first_start;
pub mod restore;
pub mod serve;
