//! Getting in, and out: how a host comes to its controller, by which way, and how its trust ends.

mod expired;
mod inspected;
mod joining;
mod leaving;
mod moved;
mod revoked;
mod tunnel;
