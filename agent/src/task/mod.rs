//! One task from envelope to outcome: the only place that knows the order.

pub mod fail;
pub mod journal;
pub mod nonces;
pub mod report;
pub mod spool;
