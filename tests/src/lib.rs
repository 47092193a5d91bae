//! Testbeds for the claims: real Debian hosts, a network of their own, the real binaries.
//!
//! A [`Lab`] is a set of namespaces that holds everything a test starts; nothing of it outlives the test,
//! however the test ends, and nothing of this machine changes. In it run [`Host`]s (booted with systemd)
//! and [`Chamber`]s (a root entered by chroot), [`Wine`]s, a [`Controller`] and its [`Cli`], and [`Agent`]s; between
//! them, where a test wants one, an [`Impostor`] with the controller's keys. Judges are outside: [`ssg`]
//! (OpenSCAP), [`tree`] (a listing of everything), a [`Canary`], and the hosts' own programs.

mod agent;
mod binaries;
mod canary;
mod cgroup;
mod chamber;
mod cli;
mod controller;
mod debian;
mod dice;
mod gate;
mod host;
mod impostor;
mod lab;
mod metered;
mod network;
pub mod packages;
mod place;
mod power;
mod process;
mod proxy;
pub mod skip;
pub mod ssg;
pub mod tree;
mod wait;
mod wine;

pub use agent::{Agent, Clock};
pub use binaries::{binary, workspace};
pub use canary::Canary;
pub use chamber::Chamber;
pub use cli::Cli;
pub use controller::Controller;
pub use debian::{Release, cache, debian, debian_12, debian_12_with};
pub use dice::{Dice, SEED, seed};
pub use gate::Gate;
pub use host::Host;
pub use impostor::{Exchange, Impostor};
pub use lab::Lab;
pub use metered::Metered;
pub use network::{CONTROLLER, connect, inside, listen};
pub use place::Place;
pub use power::{Disk, Log, LoggedDisk};
pub use process::{Running, success};
pub use proxy::Proxy;
pub use wait::until;
pub use wine::{Wine, package as msi_package};
