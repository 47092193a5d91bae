//! A script tried on a stage of this host, with no controller asked and nothing kept: what it would change, and
//! whether its controls would pass then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aright_shared::content::policy::Wanted;
use aright_shared::content::script::Script;
use aright_shared::envelope::{Envelope, TASK};
use aright_shared::id::{AssetId, Key, TaskId};
use aright_shared::library::Library;
use aright_shared::posture::{Spot, Verdict};
use aright_shared::task::{Delivery, TaskKind, TaskOrder, TaskReport};
use aright_shared::time::{Clock as _, HOUR, WallClock};
use aright_shared::values::{Resolved, Want, failing_or_all, resolve};

use crate::config::Config;
use crate::confirm::Contact;
use crate::evaluate::Evaluator;
use crate::probe::View;
use crate::root::Root;
use crate::task::host::Cancel;
use crate::task::spool::Spool;
use crate::task::{Task, execute};
use crate::{sight, system, verify};

/// The script of a YAML file, or of the library by its key.
///
/// # Errors
/// Neither; or the file is no valid script.
pub fn find(named: &str) -> anyhow::Result<Script> {
    let path = Path::new(named);
    if path.is_file() {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {named}"))?;
        return Script::from_yaml(&text).with_context(|| format!("{named} is no valid script"));
    }
    let own = named.parse::<Key>().ok().and_then(|key| Library::builtin().script(&key).cloned());
    own.with_context(|| {
        let keys: Vec<_> = Library::builtin().scripts().map(|script| script.key.to_string()).collect();
        format!(
            "script {named:?} is neither a file nor in this agent's library; next: one of {}",
            keys.join(", ")
        )
    })
}

/// # Errors
/// The script does not concern this host, a value is missing or outside its pattern, or there is no room to
/// work in.
pub fn preview(
    config: &Config,
    script: &Script,
    given: &BTreeMap<String, String>,
) -> anyhow::Result<TaskReport> {
    let Resolved { params, targets } = concerning(script, given)?;
    let now = WallClock.now();
    let order = TaskOrder {
        task: TaskId::new(),
        run: None,
        asset: AssetId::new(),
        kind: TaskKind::Preview,
        script: script.digest(),
        approval: None,
        params,
        targets,
        undo_of: None,
        not_before: now,
        not_after: now.plus(HOUR),
        nonce: String::new(),
        confirm_s: 0,
        clock_limit_ms: 0,
    };
    verify::allowed(config, &order, script).map_err(|refused| anyhow::anyhow!("{refused}"))?;
    let here = sight::this_host(config, &config.state, Library::builtin(), None)?;
    let folder = Scratch::make()?;
    let spool = Spool::open(&folder.0, Arc::new(WallClock))?;
    let delivery = Delivery {
        task: order.task.clone(),
        order: Envelope::seal(TASK, &order, &[])?,
        script: String::new(),
        approval: None,
    };
    let mut journal = spool.accept(&delivery)?;
    let task = Task { order: &order, script, clock: None };
    Ok(execute(task, &here, &spool, &NotAsked, &mut journal, &Cancel::default())?)
}

/// What a job for this host would give to the script: its failed places, with the library's own values; where
/// none fails all of them.
fn concerning(script: &Script, given: &BTreeMap<String, String>) -> anyhow::Result<Resolved> {
    let library = Library::builtin();
    let root = Root::live().context("the root folder cannot be opened")?;
    let evaluator = Evaluator::new(library, &root, &View::Live, WallClock.now());
    let controls: Vec<Key> = script.fixes.iter().map(|fix| fix.control.clone()).collect();
    let seen = evaluator.controls(&controls);
    let mut places: Vec<((Spot, Wanted), Verdict)> = Vec::new();
    for observation in seen.observations {
        let is_for = |spot: &Spot| script.fixes.iter().any(|fix| fix.is_for(spot));
        let Some(control) = library.control(&observation.spot.control) else { continue };
        let Some(on) = control.on(&observation.spot.technology).filter(|_| is_for(&observation.spot)) else {
            continue;
        };
        let verdict = aright_shared::posture::judge(&observation.reading, &on.expect);
        let wanted =
            Wanted { expect: on.expect.clone(), set: on.set().cloned(), criticality: control.criticality };
        places.push(((observation.spot, wanted), verdict));
    }
    if places.is_empty() && !controls.is_empty() {
        let why = seen.not_applicable.first().map_or_else(
            || "no technology that it is for is on this host".to_owned(),
            |one| format!("{} does not apply: {}", one.control, one.reason),
        );
        anyhow::bail!("script {} does not concern this host: {why}", script.key);
    }
    let places = failing_or_all(places);
    let policy: Key = "library".parse().context("a key")?;
    let wants: Vec<Want<'_>> =
        places.iter().map(|(spot, wanted)| Want { policy: &policy, spot, wanted }).collect();
    let remedy = "next: --param NAME=VALUE for what the script wants to be given";
    resolve(script, &wants, given).with_context(|| remedy)
}

/// A preview touches nothing that could cut the host off.
struct NotAsked;

impl Contact for NotAsked {
    fn reach(&self, _: Duration) -> Result<(), String> {
        Err("a preview has no controller".into())
    }
}

/// A folder that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> anyhow::Result<Self> {
        let path = system::scratch().join(format!("aright-preview-{}", TaskId::new()));
        system::make_private_folder(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
