//! Jobs: what may be chosen, which scripts that leads to, with which values. One set of functions for
//! saving a job and for executing it.

pub mod cancel;
pub mod custom;
pub mod save;
pub mod select;
pub mod single;
pub mod values;
