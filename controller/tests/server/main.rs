//! The controller over its real wire: TLS, HTTP, the store on disk.

mod agents;
mod audit;
mod dispatch;
mod jobs;
mod operators;
mod policies;
mod posture;
mod process;
mod scripts;
mod tags;
mod world;
