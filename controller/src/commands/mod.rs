//! The subcommands, a file each.

pub mod admin_reset;
pub mod check_config;
mod first_start;
pub mod serve;
