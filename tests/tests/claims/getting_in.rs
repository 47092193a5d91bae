//! Getting in, and out: how a host comes to its controller, and how its trust ends.

mod joining;
mod leaving;
