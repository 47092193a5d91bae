//! Services by the service control manager: state, start type, start and stop.

use std::io;
use std::time::{Duration, Instant};

use windows_service::service::{Service, ServiceAccess, ServiceState};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_sys::Win32::Foundation::{
    ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_NOT_ACTIVE,
};
use windows_sys::Win32::System::Services::{
    ChangeServiceConfig2W, ChangeServiceConfigW, SERVICE_CONFIG_DELAYED_AUTO_START_INFO,
    SERVICE_DELAYED_AUTO_START_INFO, SERVICE_NO_CHANGE,
};

use super::ok;
use std::ptr::{null, null_mut};

/// How long a service may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(90);

/// `None` where there is no such service.
fn open(name: &str, access: ServiceAccess) -> io::Result<Option<Service>> {
    let manager =
        ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).map_err(plain)?;
    match manager.open_service(name, access) {
        Ok(service) => Ok(Some(service)),
        Err(windows_service::Error::Winapi(error))
            if error.raw_os_error() == Some(ERROR_SERVICE_DOES_NOT_EXIST.cast_signed()) =>
        {
            Ok(None)
        }
        Err(error) => Err(plain(error)),
    }
}

fn existing(name: &str, access: ServiceAccess) -> io::Result<Service> {
    open(name, access)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no service {name}")))
}

fn plain(error: windows_service::Error) -> io::Error {
    match error {
        windows_service::Error::Winapi(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Its state; `None` where there is no such service.
///
/// # Errors
/// The service control manager does not answer.
pub fn state(name: &str) -> io::Result<Option<ServiceState>> {
    let Some(service) = open(name, ServiceAccess::QUERY_STATUS)? else { return Ok(None) };
    Ok(Some(service.query_status().map_err(plain)?.current_state))
}

/// A state as `sc query` calls it, in one word.
pub fn word(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Stopped => "stopped",
        ServiceState::StartPending => "starting",
        ServiceState::StopPending => "stopping",
        ServiceState::Running => "running",
        ServiceState::ContinuePending => "continuing",
        ServiceState::PausePending => "pausing",
        ServiceState::Paused => "paused",
    }
}

/// Sets its start type: the number as in its key (0 boot to 4 disabled).
///
/// # Errors
/// There is no such service, or the manager refused.
pub fn set_start(name: &str, start: u32, delayed: bool) -> io::Result<()> {
    let service = existing(name, ServiceAccess::CHANGE_CONFIG)?;
    let handle = service.raw_handle();
    let same = SERVICE_NO_CHANGE;
    // SAFETY: the handle is open; null leaves a setting as it is.
    ok(unsafe {
        ChangeServiceConfigW(
            handle,
            same,
            start,
            same,
            null(),
            null(),
            null_mut(),
            null(),
            null(),
            null(),
            null(),
        )
    })?;
    if start == 2 {
        let info = SERVICE_DELAYED_AUTO_START_INFO { fDelayedAutostart: delayed.into() };
        // SAFETY: the handle is open, the number goes with the type.
        ok(unsafe {
            ChangeServiceConfig2W(handle, SERVICE_CONFIG_DELAYED_AUTO_START_INFO, (&raw const info).cast())
        })?;
    }
    Ok(())
}

/// Stops it, and waits until it has. One that has by itself counts.
///
/// # Errors
/// It does not stop.
pub fn stop(name: &str) -> io::Result<()> {
    let service = existing(name, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
    if settled(&service)? != ServiceState::Stopped {
        held(service.stop().map(drop), ERROR_SERVICE_NOT_ACTIVE)?;
    }
    reaches(&service, ServiceState::Stopped, name)
}

/// Starts it, and waits until it runs. One that somebody else starts counts.
///
/// # Errors
/// It does not start.
pub fn start(name: &str) -> io::Result<()> {
    let service = existing(name, ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
    if settled(&service)? != ServiceState::Running {
        held(service.start::<&str>(&[]), ERROR_SERVICE_ALREADY_RUNNING)?;
    }
    reaches(&service, ServiceState::Running, name)
}

/// `already` says that what was asked for was so.
fn held(asked: windows_service::Result<()>, already: u32) -> io::Result<()> {
    match asked.map_err(plain) {
        Err(error) if error.raw_os_error() == Some(already.cast_signed()) => Ok(()),
        other => other,
    }
}

/// Its state, once it is on the way to none: a service that is takes no other orders.
fn settled(service: &Service) -> io::Result<ServiceState> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = service.query_status().map_err(plain)?.current_state;
        let is_pending =
            !matches!(state, ServiceState::Stopped | ServiceState::Running | ServiceState::Paused);
        if !is_pending || Instant::now() > deadline {
            return Ok(state);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn reaches(service: &Service, wanted: ServiceState, name: &str) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = service.query_status().map_err(plain)?.current_state;
        if state == wanted {
            return Ok(());
        }
        let gave_up = wanted == ServiceState::Running && state == ServiceState::Stopped;
        if gave_up || Instant::now() > deadline {
            return Err(io::Error::other(format!("{name} is {} and not {}", word(state), word(wanted))));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
