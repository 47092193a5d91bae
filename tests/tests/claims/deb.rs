//! The Debian packages on stock hosts, from apt-get's first word to a purge that leaves nothing.

mod agent;
mod controller;
mod departure;
mod lint;
mod upgrade;
mod watchdog;
