//! The claims: one test binary, a module each, run alone by
//! `cargo nextest run -p aright-tests -E 'test(/^NAME::/)'`.

mod away;
mod backup;
mod both_systems;
mod cancel;
mod clock;
mod crash;
mod crash_points;
mod deb;
mod demo;
mod dispatch;
mod getting_in;
mod main_job;
mod many_hosts;
mod msi;
mod old_system;
mod overreach;
mod preview;
mod scene;
mod services;
mod tamper;
mod testbeds;
mod timeout;
mod undo;
mod undo_later;
