//! The subcommands, a file each.

pub mod admin_reset;
pub mod authority_renew;
pub mod backup;
pub mod check_config;
mod first_start;
pub mod restore;
pub mod serve;
