//! The agent is killed at every step, and the power is cut at any moment: the script was started at most once, each
//! file is the old one or the new one and together they are what the journal says, the outcome is honest, undo works.
//!
//! Here without a controller, so that there can be hundreds of moments; `crash` has one.

mod files;
mod judge;
mod kills;
mod part;
mod power;
mod world;
