//! What agent, controller and CLI say to each other: identifiers, content, judging,
//! envelopes, trust and the wire. Pure: no I/O but the optional HTTPS client (`client`).

pub mod api;
#[cfg(feature = "client")]
pub mod client;
pub mod content;
pub mod digest;
pub mod envelope;
pub mod id;
pub mod library;
pub mod outcome;
pub mod posture;
pub mod problem;
pub mod tag;
pub mod task;
pub mod text;
pub mod time;
pub mod trust;
pub mod values;
pub mod wire;
