//! Windows: started and stopped by the service control manager; by hand it runs in its console until Ctrl-C.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use aright_shared::digest::Digest;
use tokio::sync::watch;
use tracing::warn;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use windows_service::service::{
    ServiceAccess, ServiceAction, ServiceActionType, ServiceControl, ServiceControlAccept, ServiceExitCode,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_service::{define_windows_service, service_dispatcher};
use windows_sys::Win32::Foundation::ERROR_FAILED_SERVICE_CONTROLLER_CONNECT;

use crate::enroll::Told;
use crate::registry::{self, Value};
use crate::windows::events::{EventLog, SOURCE};

/// By which the service control manager knows it.
pub const NAME: &str = "aright-agent";

/// How long a stop may take: a fix in progress is finished or undone before.
const STOP_WITHIN: Duration = Duration::from_secs(330);

type Daemon = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

/// What the service control manager's thread is to run: it gives that no argument.
static DAEMON: Mutex<Option<Daemon>> = Mutex::new(None);
static STATUS: OnceLock<ServiceStatusHandle> = OnceLock::new();
/// How often it was asked to stop.
static STOP: OnceLock<watch::Sender<u32>> = OnceLock::new();

define_windows_service!(service_main, main);

/// Runs the service until it ends, under the service control manager where that started it.
///
/// # Errors
/// The daemon's, or the manager's.
pub fn run(daemon: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    *DAEMON.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(daemon));
    match service_dispatcher::start(NAME, service_main) {
        Ok(()) => Ok(()),
        Err(windows_service::Error::Winapi(error))
            if error.raw_os_error() == Some(ERROR_FAILED_SERVICE_CONTROLLER_CONNECT.cast_signed()) =>
        {
            log_to(None);
            daemon_here()
        }
        Err(error) => Err(error).context("the service control manager"),
    }
}

fn daemon_here() -> anyhow::Result<()> {
    let daemon = DAEMON.lock().unwrap_or_else(PoisonError::into_inner).take();
    daemon.context("the service was started twice")?()
}

fn log_to(events: Option<EventLog>) {
    let chosen = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = chosen.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter);
    let events = events.map(|events| events.with_filter(LevelFilter::INFO));
    tracing_subscriber::registry().with(stderr).with(events).init();
}

fn main(_arguments: Vec<OsString>) {
    log_to(EventLog::open());
    let (stop, _) = watch::channel(0);
    let _ = STOP.set(stop);
    let handler = |control| match control {
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        ServiceControl::Stop | ServiceControl::Preshutdown => {
            say(ServiceState::StopPending, STOP_WITHIN, 0);
            if let Some(stop) = STOP.get() {
                stop.send_modify(|asked| *asked += 1);
            }
            ServiceControlHandlerResult::NoError
        }
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    match service_control_handler::register(NAME, handler) {
        Ok(status) => drop(STATUS.set(status)),
        Err(error) => return tracing::error!("service control manager: {error}"),
    }
    say(ServiceState::StartPending, Duration::from_secs(30), 0);
    let ended = daemon_here();
    if let Err(error) = &ended {
        tracing::error!("{error:#}");
    }
    say(ServiceState::Stopped, Duration::ZERO, u32::from(ended.is_err()));
}

/// Tells the service control manager; a failure is an error of the service's own, 1.
fn say(state: ServiceState, wait_hint: Duration, failure: u32) {
    let Some(status) = STATUS.get() else { return };
    let is_running = state == ServiceState::Running;
    let told = status.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: if is_running {
            ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN
        } else {
            ServiceControlAccept::empty()
        },
        exit_code: match failure {
            0 => ServiceExitCode::NO_ERROR,
            code => ServiceExitCode::ServiceSpecific(code),
        },
        checkpoint: 0,
        wait_hint,
        process_id: None,
    });
    if let Err(error) = told {
        warn!("service control manager: {error}");
    }
}

/// Started by the service control manager: a host that nobody enrolled yet waits for that.
pub fn is_installed() -> bool {
    STATUS.get().is_some()
}

/// Where the installer leaves what it was told for the service.
const TOLD: &str = r"HKLM\SOFTWARE\Aright\Agent";
const KEY: &str = "EnrollKey";

/// What the installer was told: addresses apart by commas, the key, the fingerprints.
///
/// # Errors
/// A fingerprint is none.
pub fn told() -> anyhow::Result<Told> {
    let text = |name: &str| -> anyhow::Result<Option<String>> {
        let value = registry::value(TOLD, name).with_context(|| format!("{TOLD}\\{name}"))?;
        Ok(value.and_then(|value| value.as_text()).filter(|text| !text.is_empty()))
    };
    let fingerprint = |name: &str| -> anyhow::Result<Option<Digest>> {
        let parsed = text(name)?.map(|text| text.parse()).transpose();
        parsed.map_err(|error| anyhow::anyhow!("{TOLD}\\{name}: {error}"))
    };
    let controllers = text("ControllerUrl")?.unwrap_or_default();
    Ok(Told {
        controllers: controllers
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
            .map(str::to_owned)
            .collect(),
        key: text(KEY)?,
        ca_fingerprint: fingerprint("CaFingerprint")?,
        trust_fingerprint: fingerprint("TrustFingerprint")?,
        again: false,
    })
}

/// What starts it.
pub const START: &str = "sc start aright-agent";

/// The key that an installer was told has served; what cannot be removed is said, and harms nobody once it is
/// used up.
pub fn forget_key() {
    if let Err(error) = registry::remove(TOLD, KEY) {
        warn!("the enrolment key was not removed from {TOLD}: {error}");
    }
}

/// What an installation cannot say in every installer's words, said by the service itself at each start.
pub fn settle() {
    if STATUS.get().is_none() {
        return;
    }
    if let Err(error) = recover_by_itself() {
        warn!("the service's recovery actions were not set: {error}");
    }
    if let Err(error) = name_source() {
        warn!("the event log's source was not named: {error}");
    }
}

/// Started again 5 s after a crash, a minute after the next ones; counted anew after a day.
fn recover_by_itself() -> windows_service::Result<()> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
    // To set a restart wants the right to start.
    let service = manager.open_service(NAME, ServiceAccess::CHANGE_CONFIG | ServiceAccess::START)?;
    let restart = |seconds| ServiceAction {
        action_type: ServiceActionType::Restart,
        delay: Duration::from_secs(seconds),
    };
    service.update_failure_actions(ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(Duration::from_secs(24 * 3600)),
        reboot_msg: None,
        command: None,
        actions: Some(vec![restart(5), restart(60), restart(60)]),
    })?;
    // Also where it says itself that it failed.
    service.set_failure_actions_on_non_crash_failures(true)?;
    service.set_preshutdown_timeout(STOP_WITHIN)
}

fn name_source() -> std::io::Result<()> {
    let key = format!(r"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\{SOURCE}");
    if registry::exists(&key)? {
        return Ok(());
    }
    let messages = crate::windows::system_folder()?.join("EventCreate.exe");
    registry::set(&key, "EventMessageFile", &Value::text(&messages.display().to_string()))?;
    registry::set(&key, "TypesSupported", &Value::dword(7))
}

/// Says that the service is up.
pub fn ready() {
    say(ServiceState::Running, Duration::ZERO, 0);
}

/// Says that it ends what is under way.
pub fn stopping() {
    say(ServiceState::StopPending, STOP_WITHIN, 0);
}

/// Nobody watches a service here: the manager learns of its death alone.
pub fn patience() -> Option<Duration> {
    None
}

pub fn alive() {}

/// Ends when the service is to stop, from now on: by the service control manager, or Ctrl-C.
///
/// # Errors
/// Neither can be waited for.
pub fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut by_console = tokio::signal::windows::ctrl_c()?;
    let mut by_manager = STOP.get().map(watch::Sender::subscribe);
    Ok(async move {
        let asked = async {
            match &mut by_manager {
                Some(stop) => drop(stop.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = by_console.recv() => {}
            () = asked => {}
        }
    })
}

/// On Linux the agent starts itself as the launcher of scripts; here a job object needs none.
pub fn launched() {}
