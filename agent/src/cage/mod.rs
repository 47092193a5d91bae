//! The launcher's confinement: a pure plan, then its application in documented order.
//!
//! The agent starts its own program again as *launcher* ([`launcher`]), small and single-threaded. That
//! builds the stage in namespaces of its own ([`mounts`]), forks PID 1 of a new PID namespace ([`init`]),
//! and holds the stage until the agent closes the [`channel`]. PID 1 gives up every right the script shall
//! not have and starts it. When the script's first process ends, PID 1 ends, and the kernel ends the rest.
//!
//! Knows no jobs and no judging: it takes a [`plan::Plan`] and a [`channel::RunOrder`].

pub mod cgroup;
pub mod channel;
pub mod init;
mod landlock;
pub mod launcher;
pub mod mounts;
pub mod network;
pub mod plan;
mod privileges;
mod seccomp;
mod sys;

use serde::{Deserialize, Serialize};

/// What holds a script back. All but [`Layer::ProcessLimit`],
/// [`Layer::Cgroup`] and [`Layer::Landlock`] are required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    Session,
    /// Of an ordinary user only: root there is nobody outside.
    UserNamespace,
    MountNamespace,
    IpcNamespace,
    UtsNamespace,
    NetworkNamespace,
    PidNamespace,
    /// The copy-on-write view itself.
    Stage,
    /// A fresh `/proc`, its dangerous parts read-only or covered.
    Proc,
    Limits,
    /// As many processes as allowed: by the PID namespace, where the kernel can (6.14).
    ProcessLimit,
    Capabilities,
    NoNewPrivileges,
    Seccomp,
    /// Files, signals and sockets fenced in once more.
    Landlock,
    /// Limits of all processes together, and their count.
    Cgroup(cgroup::Version),
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Session => "session",
            Self::UserNamespace => "user namespace",
            Self::MountNamespace => "mount namespace",
            Self::IpcNamespace => "IPC namespace",
            Self::UtsNamespace => "UTS namespace",
            Self::NetworkNamespace => "network namespace",
            Self::PidNamespace => "PID namespace",
            Self::Stage => "stage",
            Self::Proc => "proc",
            Self::Limits => "limits",
            Self::ProcessLimit => "process limit",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivileges => "no new privileges",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::Cgroup(version) => version.name(),
        })
    }
}

/// A required layer could not be put in place: nothing was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the layer \"{layer}\" cannot be put in place: {why}")]
pub struct Unavailable {
    pub layer: Layer,
    pub why: String,
}

/// Says which layer failed, and at what.
trait OrUnavailable<T> {
    fn at(self, layer: Layer, what: impl std::fmt::Display) -> Result<T, Unavailable>;
}

impl<T, E: std::fmt::Display> OrUnavailable<T> for Result<T, E> {
    fn at(self, layer: Layer, what: impl std::fmt::Display) -> Result<T, Unavailable> {
        self.map_err(|error| Unavailable { layer, why: format!("{what}: {error}") })
    }
}

/// The layers so far, and the optional ones that could not be had with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    pub layers: Vec<Layer>,
    pub missing: Vec<(Layer, String)>,
}
