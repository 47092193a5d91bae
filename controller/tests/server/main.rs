//! The controller over its real wire: TLS, HTTP, the store on disk.

mod agents;
mod operators;
mod process;
mod world;
