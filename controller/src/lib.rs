//! The controller: posture, policies, scripts, jobs; an agents' port, an operators' port.

pub mod agent_api;
pub mod api;
pub mod app;
pub mod auth;
pub mod authority;
pub mod background;
mod backup;
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
mod passphrase;
pub mod policies;
pub mod presence;
pub mod router;
pub mod schedule;
mod sealed;
pub mod store;
pub mod trust;
