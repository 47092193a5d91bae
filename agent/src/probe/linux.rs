//! Linux: every file is read once, beneath a root that may be a stage.

mod account;
mod config_value;
mod dropins;
mod file_attributes;
mod file_content;
#[cfg(test)]
mod hostile;
mod kernel_module;
mod kernel_parameter;
mod mount;
mod os;
mod package;
mod service;
mod sshd_option;
#[cfg(test)]
mod testing;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use aright_shared::content::probe::Probe;
use aright_shared::posture::{ErrorCode, Managed, Manager, Missing, Reading};

pub use kernel_parameter::persisted_value;

use super::{Pending, Seen, View, evidence, record};
use crate::managed;
use crate::root::{LookError, Root};

/// One look at a root: each file is read once, however many controls ask.
pub struct Look<'a> {
    root: &'a Root,
    view: &'a View,
    files: RefCell<BTreeMap<String, Result<Rc<str>, Failed>>>,
    /// Files that the latest probe looked at.
    looked_at: RefCell<BTreeSet<String>>,
    conffiles: OnceCell<BTreeSet<String>>,
    systemd: OnceCell<service::Units>,
}

/// Why a file has no text; kept, since it is asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Absent,
    /// A covered secret in a stage.
    Covered,
    Error(ErrorCode, String),
}

impl Failed {
    pub(crate) fn reading(self) -> Reading {
        match self {
            Self::Absent => Reading::Absent(Missing::File),
            Self::Covered => Reading::Pending,
            Self::Error(code, detail) => Reading::Error { code, detail },
        }
    }
}

impl From<LookError> for Failed {
    fn from(error: LookError) -> Self {
        let code = match &error {
            LookError::Absent { .. } => return Self::Absent,
            LookError::Denied { .. } => ErrorCode::AccessDenied,
            LookError::TooLarge { .. } => ErrorCode::TooLarge,
            LookError::NotRegular { .. } | LookError::Io { .. } => ErrorCode::ProbeFailed,
        };
        Self::Error(code, error.to_string())
    }
}

impl Pending {
    fn covers(&self, path: &str) -> bool {
        self.covered.iter().any(|covered| Path::new(path).starts_with(covered))
    }
}

impl<'a> Look<'a> {
    pub fn new(root: &'a Root, view: &'a View) -> Self {
        Self {
            root,
            view,
            files: RefCell::default(),
            looked_at: RefCell::default(),
            conffiles: OnceCell::new(),
            systemd: OnceCell::new(),
        }
    }

    /// Runs one probe.
    pub fn see(&self, probe: &Probe) -> Seen {
        self.looked_at.borrow_mut().clear();
        match probe {
            Probe::FileContent(with) => file_content::see(self, with),
            Probe::ConfigValue(with) => config_value::see(self, with),
            Probe::FileAttributes(with) => file_attributes::see(self, with),
            Probe::Package(with) => package::see(self, with),
            Probe::Service(with) => service::see(self, with),
            Probe::Account(with) => account::see(self, with),
            Probe::KernelParameter(with) => kernel_parameter::see(self, with),
            Probe::Mount(with) => mount::see(self, with),
            Probe::KernelModule(with) => kernel_module::see(self, with),
            Probe::SshdOption(with) => sshd_option::see(self, with),
            Probe::Os(with) => os::see(self, with),
            Probe::RegistryValue(_) => Seen::error(ErrorCode::NotSupported, "this system has no registry"),
        }
    }

    /// What of the files that the latest probe looked at somebody else manages too.
    pub fn managed(&self) -> Vec<Managed> {
        // Taken out: to look at a file for its markers is to look at it.
        let paths = std::mem::take(&mut *self.looked_at.borrow_mut());
        paths.into_iter().filter_map(|path| self.manager(&path).map(|by| Managed { path, by })).collect()
    }

    /// Who else manages a file; only settings (`/etc`) are anybody's.
    pub fn manager(&self, path: &str) -> Option<Manager> {
        if !path.starts_with("/etc/") {
            return None;
        }
        let by_name = path.contains("cloud-init").then_some(Manager::CloudInit);
        let by_marker = || self.text(path).ok().and_then(|text| managed::by_marker(&text));
        let conffiles = || {
            let status = self.text(package::STATUS);
            self.conffiles
                .get_or_init(|| status.map_or_else(|_| BTreeSet::new(), |text| managed::conffiles(&text)))
        };
        by_name.or_else(by_marker).or_else(|| conffiles().contains(path).then_some(Manager::Dpkg))
    }

    pub fn root(&self) -> &Root {
        self.root
    }

    /// What is pending here; nothing on the live host.
    fn pending(&self) -> Option<&Pending> {
        match self.view {
            View::Live => None,
            View::Stage(pending) => Some(pending),
        }
    }

    /// A text file, read once. Bytes that are not UTF-8 are replaced: configuration is judged, not kept.
    fn text(&self, path: &str) -> Result<Rc<str>, Failed> {
        self.looked_at.borrow_mut().insert(path.to_owned());
        if self.pending().is_some_and(|pending| pending.covers(path)) {
            return Err(Failed::Covered);
        }
        if let Some(known) = self.files.borrow().get(path) {
            return known.clone();
        }
        let read =
            self.root.read(path).map(|bytes| Rc::from(String::from_utf8_lossy(&bytes))).map_err(Failed::from);
        self.files.borrow_mut().insert(path.to_owned(), read.clone());
        read
    }

    /// Paths and globs, in order, as paths that are there or are named outright.
    fn paths(&self, patterns: &[String]) -> Result<Vec<String>, Failed> {
        let mut paths = Vec::new();
        for pattern in patterns {
            paths.extend(self.root.glob(pattern)?);
        }
        Ok(paths)
    }

    /// Whether what the host's own programs say holds here: its root, or a stage of it.
    fn is_of_this_host(&self) -> bool {
        let same = || {
            let (here, host) = (self.root.meta("/", true).ok()?, crate::root::lstat(Path::new("/")).ok()?);
            Some((here.st_dev, here.st_ino) == (host.st_dev, host.st_ino))
        };
        self.pending().is_some() || same() == Some(true)
    }

    fn systemd(&self) -> &service::Units {
        self.systemd.get_or_init(|| service::Units::ask(self))
    }
}

/// `line 12`, counted from 1, of a byte in a text.
fn line_of(text: &str, byte: usize) -> String {
    format!("line {}", text.as_bytes().iter().take(byte).filter(|c| **c == b'\n').count() + 1)
}
