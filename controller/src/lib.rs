//! The controller: posture, policies, scripts, jobs; an agents' port, an operators' port.

pub mod agent_api;
pub mod api;
pub mod app;
pub mod auth;
pub mod authority;
pub mod background;
pub mod cli;
pub mod commands;
pub mod config;
pub mod content;
pub mod data;
pub mod dispatch;
pub mod error;
pub mod http_in;
pub mod jobs;
mod judging;
mod log;
pub mod net;
pub mod policies;
pub mod presence;
mod revoke;
pub mod router;
pub mod schedule;
pub mod store;
pub mod trust;
mod watchdog;
