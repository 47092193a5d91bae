//! The controller over its real wire: TLS, HTTP, the store on disk.

mod agents;
mod dispatch;
mod jobs;
mod operators;
mod posture;
mod process;
mod rollout;
mod scripts;
mod world;
