//! The controller over its real wire: TLS, HTTP, the store on disk.

mod agents;
mod audit;
mod cancel;
mod dispatch;
mod jobs;
mod operators;
mod policies;
mod posture;
mod process;
mod races;
mod revoke;
mod rollout;
mod rules;
mod scripts;
mod tags;
mod undo;
mod world;
