//! Scripts, as operators see them.

pub mod approve;
pub mod list;
pub mod show;
pub mod upload;

use aright_shared::api::{Script, ScriptDetail};
use aright_shared::content::script;
use aright_shared::id::Key;

use crate::app::App;
use crate::error::Refused;
use crate::store::{Conn, scripts};

fn view(conn: &Conn, row: &scripts::Script) -> Result<Script, Refused> {
    let script: script::Script = serde_json::from_str(&row.bytes)?;
    Ok(Script {
        key: row.key.clone(),
        version: row.version,
        digest: row.digest,
        origin: row.origin,
        state: row.state,
        title: script.title,
        risk: script.risk,
        lockout: script.lockout,
        interpreter: script.interpreter.clone(),
        confinement: script.confinement,
        fixes: script.fixes,
        created: row.created,
        author: row.author.clone(),
        approvals: scripts::given(conn, row.digest)?,
    })
}

fn detail(conn: &Conn, row: scripts::Script) -> Result<ScriptDetail, Refused> {
    Ok(ScriptDetail { script: view(conn, &row)?, bytes: row.bytes })
}

async fn shown(app: &App, key: Key) -> Result<ScriptDetail, Refused> {
    app.store
        .read(move |conn| {
            let row = scripts::newest(conn, &key)?.ok_or_else(|| Refused::not_found("script", &key))?;
            detail(conn, row)
        })
        .await
}
