//! One file a noun of the command line.

pub mod asset;
pub mod audit;
pub mod enroll_key;
pub mod job;
pub mod licence;
pub mod login;
pub mod policy;
pub mod posture;
pub mod preview;
pub mod schedule;
pub mod script;
pub mod stop;
pub mod tag;
pub mod task;
pub mod trust;
pub mod watch;
