//! `aright-controller serve`: from an empty folder to two open ports, and down again on a signal.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use aright_shared::library::Library;
use aright_shared::time::{Clock, WallClock};
use tokio::signal::unix::{SignalKind, signal};

use super::first_start;
use crate::app::App;
use crate::config::Settings;
use crate::content::Content;
use crate::data::Data;
use crate::net::{self, Addresses, Port, ServerKey};
use crate::{background, judging, restored, router, watchdog};

#[derive(Clone, Debug)]
pub struct Options {
    pub data: PathBuf,
    pub config: Option<PathBuf>,
    pub dev: bool,
    pub agents: Option<SocketAddr>,
    pub operators: Option<SocketAddr>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from starting, or a part that ended unasked.
pub async fn run(options: Options) -> Result<()> {
    let settings = settings(&options)?;
    crate::log::start(&settings.log.filter)?;
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let content = Content::of(Library::builtin().clone())?;
    let mut server =
        Server::start(&options.data, settings, content, options.dev, Arc::new(WallClock)).await?;
    // Not being run by systemd is no error.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    let app = server.app.clone();
    let ended = tokio::select! {
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
        () = server.part_ended() => Err(anyhow!("a part of the controller ended unasked")),
        never = watchdog::run(&app.store) => match never {},
    };
    tracing::info!("stopping");
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
    server.stop().await?;
    ended
}

fn settings(options: &Options) -> Result<Settings> {
    let mut settings = Settings::load(options.config.as_deref(), &options.data)?;
    settings.agents.listen = options.agents.unwrap_or(settings.agents.listen);
    settings.operators.listen = options.operators.unwrap_or(settings.operators.listen);
    Ok(settings)
}

/// A running controller.
pub struct Server {
    pub app: Arc<App>,
    pub addresses: Addresses,
    parts: Vec<tokio::task::JoinHandle<()>>,
    /// One controller serves a data folder.
    _lock: std::fs::File,
}

impl Server {
    /// # Errors
    /// Names what kept it from starting.
    pub async fn start(
        root: &Path,
        settings: Settings,
        content: Content,
        dev: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let data = Data::open(root)?;
        let lock = data.lock()?;
        first_start::prepare(&data, clock.now())?;
        let app = App::open(&data, settings, content, dev, clock).await?;
        judging::catch_up(&app).await?;
        restored::settle(&app).await?;
        let (agents, operators) = ports(&app).await?;
        let addresses = Addresses { agents: agents.address, operators: operators.address };
        let _ = app.addresses.set(addresses);
        let password = first_start::first_user(&app).await?;
        let key = ServerKey::new(server_key(&app)?);
        let (agents_tls, operators_tls) = (net::agents_tls(key.clone())?, net::operators_tls(key.clone())?);
        let [agent_connections, operator_connections] =
            [app.settings.agents.max_connections, app.settings.operators.max_connections];
        let (for_agents, for_operators) = (app.clone(), app.clone());
        let routers = (router::agents_port(&app), router::operators_port(&app));
        let parts = vec![
            tokio::spawn(async move {
                agents.serve(agents_tls, routers.0, agent_connections, for_agents.stopped()).await;
            }),
            tokio::spawn(async move {
                operators
                    .serve(operators_tls, routers.1, operator_connections, for_operators.stopped())
                    .await;
            }),
            tokio::spawn(background::run(app.clone(), key)),
        ];
        tracing::info!(agents = %addresses.agents, operators = %addresses.operators, dev, "listening");
        if let Some(password) = password {
            first_start::tell(&app, &data, addresses, &password)?;
        }
        // Last, so that whoever waits for it finds open ports and what was told.
        data.write("run/addresses.json", &serde_json::to_vec(&addresses)?)?;
        Ok(Self { app, addresses, parts, _lock: lock })
    }

    /// Resolves when a part ends, which none does before it is asked to.
    pub async fn part_ended(&mut self) {
        while !self.parts.iter().any(tokio::task::JoinHandle::is_finished) {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }

    /// Lets what runs finish, then writes what is only in memory.
    ///
    /// # Errors
    /// A part had panicked, or the store failed.
    pub async fn stop(self) -> Result<()> {
        self.app.stopping.send_replace(true);
        for part in self.parts {
            part.await.context("a part of the controller failed")?;
        }
        self.app.flush_presence().await?;
        Ok(())
    }
}

async fn ports(app: &App) -> Result<(Port, Port)> {
    let agents = Port::bind(app.settings.agents.listen).await.context("agents' port (--agents)")?;
    let operators =
        Port::bind(app.settings.operators.listen).await.context("operators' port (--operators)")?;
    Ok((agents, operators))
}

/// A fresh server certificate for all our names.
///
/// # Errors
/// No randomness.
pub fn server_key(app: &App) -> Result<Arc<rustls::sign::CertifiedKey>> {
    app.authority().issue_server(&net::names(&app.settings), app.now())
}
