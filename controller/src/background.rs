//! Background work: one reconciler, on a timer and on demand, each step idempotent.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use aright_shared::time::{DAY, MINUTE, Millis};

use crate::app::App;
use crate::authority::{Authority, renew_by_itself};
use crate::commands::serve::server_key;
use crate::net::ServerKey;
use crate::{dispatch, ends};

/// How often it looks without being asked.
const TICK: Duration = Duration::from_secs(1);
/// How often a server certificate is made anew; it lasts far longer.
const SERVER_KEY: i64 = 7 * DAY;

pub async fn run(app: Arc<App>, key: Arc<ServerKey>) {
    let mut certificates = Certificates { key, made: app.now(), looked: None, told: None };
    while !app.is_stopping() {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = app.dispatch.notified() => {}
            () = app.stopped() => break,
        }
        let _working = app.background.lock().await;
        if let Err(error) = app.flush_presence().await {
            tracing::error!(error = %error, "presence was not written");
        }
        if let Err(error) = dispatch::step(&app).await {
            tracing::error!(problem = ?error.problem(), "the dispatcher did not finish a step");
        }
        if let Err(error) = certificates.look(&app) {
            tracing::error!(error = format!("{error:#}"), "certificates were not renewed");
        }
    }
}

/// Our own certificates, each renewed long before its end.
struct Certificates {
    key: Arc<ServerKey>,
    /// When the server's was made.
    made: Millis,
    looked: Option<Millis>,
    /// When it was last said what ends soon.
    told: Option<Millis>,
}

impl Certificates {
    fn look(&mut self, app: &App) -> Result<()> {
        let now = app.now();
        // A clock that was set back is no reason to wait until it is there again.
        if self.looked.is_some_and(|looked| (0..MINUTE).contains(&now.since(looked))) {
            return Ok(());
        }
        self.looked = Some(now);
        if self.told.is_none_or(|told| !(0..DAY).contains(&now.since(told))) {
            self.told = Some(now);
            ends::tell(app);
            // Where the root key lies apart, somebody is to do it: that is what is told.
            renew_by_itself(&app.data, &app.authority(), now)?;
        }
        let on_disk = Authority::load(&app.data)?;
        let is_new = !on_disk.is_same(&app.authority());
        if is_new {
            tracing::info!(until = %on_disk.expires(), "another intermediate certificate is in force");
            app.replace_authority(on_disk);
        }
        if is_new || !(0..SERVER_KEY).contains(&now.since(self.made)) {
            self.key.replace(server_key(app)?);
            self.made = now;
        }
        Ok(())
    }
}
