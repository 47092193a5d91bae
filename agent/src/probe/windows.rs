//! Windows: the registry, services, and what the system says it is.

use aright_shared::content::probe::{Os, OsField, Probe, RegistryValue, Service};
use aright_shared::posture::{ErrorCode, Managed, Missing, Reading, Value};

use super::{Seen, View, evidence, record};
use crate::commit::place::Thing;
use crate::meta::{Kind, start_type};
use crate::registry;
use crate::root::Root;
use crate::windows::services;

/// One look at this machine.
pub struct Look<'a> {
    root: &'a Root,
}

impl<'a> Look<'a> {
    pub fn new(root: &'a Root, _view: &'a View) -> Self {
        Self { root }
    }

    /// Runs one probe.
    pub fn see(&self, probe: &Probe) -> Seen {
        match probe {
            Probe::RegistryValue(with) => registry_value(with),
            Probe::Service(with) => service(with),
            Probe::Os(with) => os(with),
            _ => Seen::error(ErrorCode::NotSupported, "this probe is not for Windows"),
        }
    }

    /// Who else manages what was looked at: group policy is not asked yet.
    pub fn managed(&self) -> Vec<Managed> {
        Vec::new()
    }

    pub fn root(&self) -> &Root {
        self.root
    }
}

fn failed(error: &std::io::Error) -> Seen {
    let code = match error.kind() {
        std::io::ErrorKind::PermissionDenied => ErrorCode::AccessDenied,
        _ => ErrorCode::ProbeFailed,
    };
    Seen::error(code, error.to_string())
}

fn registry_value(with: &RegistryValue) -> Seen {
    let RegistryValue { key, name } = with;
    let value = match registry::value(key, name) {
        Ok(Some(value)) => value,
        Ok(None) => {
            let missing = match registry::exists(key) {
                Ok(true) => Missing::Value,
                Ok(false) => Missing::File,
                Err(error) => return failed(&error),
            };
            return Seen::of(Reading::Absent(missing));
        }
        Err(error) => return failed(&error),
    };
    let evidence = vec![evidence(key, Some(name.clone()), &value.to_string())];
    let typed = match (value.as_number(), value.as_text(), value.as_list()) {
        (Some(number), _, _) => Value::Int(number),
        (None, Some(text), _) => Value::Text(text),
        (None, None, Some(list)) => Value::List(list.into_iter().map(Value::Text).collect()),
        (None, None, None) => Value::Text(hex::encode(&value.data)),
    };
    Seen::value(typed, evidence)
}

fn service(with: &Service) -> Seen {
    let state = match services::state(&with.name) {
        Ok(state) => state,
        Err(error) => return failed(&error),
    };
    let start = match Thing::Service(with.name.clone()).look() {
        Ok(meta) => meta.map(|meta| meta.kind),
        Err(error) => return failed(&error),
    };
    let text = |text: &str| Reading::Value(Value::Text(text.to_owned()));
    let none = Reading::Absent(Missing::Value);
    let enabled = match start {
        Some(Kind::Start { start, delayed }) => text(start_type(start, delayed)),
        _ => none.clone(),
    };
    let active = state.map_or(none, |state| text(services::word(state)));
    let installed = Reading::Value(Value::Bool(state.is_some()));
    Seen::value(record([("installed", installed), ("enabled", enabled), ("active", active)]), Vec::new())
}

/// Where the system says what it is.
const VERSION: &str = "HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";
const PRODUCT: &str = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\ProductOptions";

fn os(with: &Os) -> Seen {
    let text = |key, name| match registry::value(key, name) {
        Ok(value) => value.and_then(|value| value.as_text()).ok_or(Seen::of(Reading::Absent(Missing::Value))),
        Err(error) => Err(failed(&error)),
    };
    let said = match with.field {
        // `WinNT` for workstations, `ServerNT` and `LanmanNT` (a domain controller) for servers.
        OsField::Id => text(PRODUCT, "ProductType")
            .map(|kind| if kind == "WinNT" { "windows-client" } else { "windows-server" }.to_owned()),
        // The build tells the product; the version has been 10.0 since 2015.
        OsField::Version | OsField::Kernel => {
            text(VERSION, "CurrentBuildNumber").map(|build| format!("10.0.{build}"))
        }
        OsField::Family => Ok("windows".to_owned()),
        OsField::Arch => Ok(std::env::consts::ARCH.to_owned()),
        OsField::Container => return Seen::of(Reading::Absent(Missing::Value)),
    };
    said.map_or_else(|seen| seen, |said| Seen::value(Value::Text(said), Vec::new()))
}
