//! Background work: one reconciler, on a timer and on demand, each step idempotent.

use std::sync::Arc;
use std::time::Duration;

use aright_shared::time::{DAY, Millis};

use crate::app::App;
use crate::commands::serve::server_key;
use crate::dispatch;
use crate::net::ServerKey;

/// How often it looks without being asked.
const TICK: Duration = Duration::from_secs(1);
/// How often a server certificate is made anew; it lasts far longer.
const SERVER_KEY: i64 = 7 * DAY;

pub async fn run(app: Arc<App>, key: Arc<ServerKey>) {
    let mut key_made = app.now();
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
        renew_server_key(&app, &key, &mut key_made);
    }
}

fn renew_server_key(app: &App, key: &ServerKey, made: &mut Millis) {
    if app.now().since(*made) < SERVER_KEY {
        return;
    }
    match server_key(app) {
        Ok(fresh) => {
            key.replace(fresh);
            *made = app.now();
        }
        Err(error) => tracing::error!(error = format!("{error:#}"), "no new server certificate"),
    }
}
