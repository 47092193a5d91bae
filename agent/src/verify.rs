//! Whether an order may be obeyed: signatures, approval, digests, asset, validity, parameters.
//! Nothing here trusts the controller's word: only keys that it cannot replace.

use std::path::Path;

use aright_shared::content::script::{Confine, Interpreter, Script};
use aright_shared::digest::Digest;
use aright_shared::envelope::{OpenError, PublicKey, TASK};
use aright_shared::id::AssetId;
use aright_shared::library::Library;
use aright_shared::outcome::Refusal;
use aright_shared::task::{Delivery, TaskKind, TaskOrder};
use aright_shared::time::{DAY, Millis, SECOND};
use aright_shared::trust::TrustDocument;

use crate::config::{Config, Mode};

/// Most that an order may ask for, whoever signed it.
const MAX_VALIDITY_MS: i64 = DAY;
const MAX_CONFIRM_S: u32 = 3600;
const MAX_CLOCK_LIMIT_MS: i64 = 300 * SECOND;

/// Why an order is refused: one reason, and a sentence with the value, the limit and the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refused {
    pub reason: Refusal,
    pub detail: String,
}

/// A refusal as an error.
pub fn refuse<T>(reason: Refusal, detail: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { reason, detail: detail.into() })
}

/// What this agent knows that the controller cannot change.
pub struct Verifier<'a> {
    pub asset: &'a AssetId,
    pub task_key: PublicKey,
    pub trust: &'a TrustDocument,
    pub library: &'a Library,
    pub config: &'a Config,
    /// Best known controller time; not the wall clock.
    pub now: Millis,
}

/// An order whose envelope is the controller's: enough to judge the clock by.
pub struct Signed<'a> {
    pub order: TaskOrder,
    delivery: &'a Delivery,
}

/// An order that may be obeyed. Only [`Verifier::approved`] makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    order: TaskOrder,
    script: Script,
    source: Source,
}

/// Why the script's bytes are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This agent carries their digest.
    Library,
    Approved {
        approver: String,
    },
    /// Nothing of it runs: the order is to undo.
    NotRun,
}

impl Verified {
    pub fn order(&self) -> &TaskOrder {
        &self.order
    }
    pub fn script(&self) -> &Script {
        &self.script
    }
    pub fn source(&self) -> &Source {
        &self.source
    }
}

impl Verifier<'_> {
    /// Opens the envelope.
    ///
    /// # Errors
    /// `bad_signature` where a byte changed, `not_approved` where another key signed.
    pub fn signed<'d>(&self, delivery: &'d Delivery) -> Result<Signed<'d>, Refused> {
        let order: TaskOrder = delivery
            .order
            .open(TASK, &[self.task_key], 1)
            .map_err(|error| refusal_of(&error, "task envelope"))?;
        if order.task != delivery.task {
            return refuse(
                Refusal::BadSignature,
                format!("delivered as task {}, signed as {}", delivery.task, order.task),
            );
        }
        Ok(Signed { order, delivery })
    }

    /// All that does not depend on the clock.
    ///
    /// # Errors
    /// The first reason found.
    pub fn approved(&self, signed: Signed<'_>) -> Result<Verified, Refused> {
        let Signed { order, delivery } = signed;
        let bytes = delivery.script.as_bytes();
        let digest = Digest::of(bytes);
        if digest != order.script {
            return refuse(
                Refusal::BadSignature,
                format!("the script's digest is {digest}, the order was signed for {}", order.script),
            );
        }
        let source = self.believed(&order, delivery, digest)?;
        let script = Script::parse_canonical(bytes).or_else(|error| {
            refuse(Refusal::Unsupported, format!("this agent cannot read the script: {error}"))
        })?;
        // Nothing of it runs to be undone.
        if order.kind != TaskKind::Undo {
            check_params(&order, &script)?;
        }
        self.check_validity(&order)?;
        if order.asset != *self.asset {
            return refuse(
                Refusal::WrongAsset,
                format!("the order is for asset {}, this is {}", order.asset, self.asset),
            );
        }
        allowed(self.config, &order, &script)?;
        Ok(Verified { order, script, source })
    }

    fn believed(&self, order: &TaskOrder, delivery: &Delivery, digest: Digest) -> Result<Source, Refused> {
        // To go back must be possible when the approval has ended, or the library is another one.
        if order.kind == TaskKind::Undo {
            return Ok(Source::NotRun);
        }
        let Some(envelope) = &delivery.approval else {
            if self.library.has_script(digest) {
                return Ok(Source::Library);
            }
            return refuse(
                Refusal::NotApproved,
                format!(
                    "script {digest} is not of the library that this agent carries, and comes without an approval"
                ),
            );
        };
        if envelope.digest().ok() != order.approval {
            return refuse(Refusal::BadSignature, "the approval is not the one that the order names");
        }
        if self.trust.expires < self.now {
            return refuse(
                Refusal::NotApproved,
                format!(
                    "the trust document expired at {}; next: sign a new one with the root key",
                    self.trust.expires
                ),
            );
        }
        let approval = self.trust.approval(envelope).map_err(|error| refusal_of(&error, "approval"))?;
        if approval.script != digest {
            return refuse(
                Refusal::BadSignature,
                format!("the approval is for script {}, this is {digest}", approval.script),
            );
        }
        if approval.not_after < self.now {
            return refuse(
                Refusal::NotApproved,
                format!("the approval ended at {}; next: approve the script again", approval.not_after),
            );
        }
        if !self.config.allow_online_approvers && self.offline_only().approval(envelope).is_err() {
            return refuse(
                Refusal::Denied,
                "too few approvers signed whose keys lie apart from the controller, and agent.toml accepts no others \
                 (allow_online_approvers)",
            );
        }
        Ok(Source::Approved { approver: approval.approver })
    }

    /// The document without the keys that stay with the controller.
    fn offline_only(&self) -> TrustDocument {
        let mut document = self.trust.clone();
        document.approvers.retain(|approver| !approver.online);
        document
    }

    fn check_validity(&self, order: &TaskOrder) -> Result<(), Refused> {
        if self.now > order.not_after || self.now < order.not_before {
            return refuse(
                Refusal::Expired,
                format!(
                    "the order is valid from {} to {}, the controller's time is {}",
                    order.not_before, order.not_after, self.now
                ),
            );
        }
        // Limits that the controller cannot lift: an order that held for ever would be one to replay.
        if order.not_after.since(order.not_before) > MAX_VALIDITY_MS
            || order.confirm_s > MAX_CONFIRM_S
            || order.clock_limit_ms > MAX_CLOCK_LIMIT_MS
        {
            return refuse(
                Refusal::Unsupported,
                format!(
                    "the order wants to be valid for {} s, {} s to prove contact and a clock limit of {} ms; this agent \
                     grants {} s, {MAX_CONFIRM_S} s and {MAX_CLOCK_LIMIT_MS} ms",
                    order.not_after.since(order.not_before) / SECOND,
                    order.confirm_s,
                    order.clock_limit_ms,
                    MAX_VALIDITY_MS / SECOND
                ),
            );
        }
        Ok(())
    }
}

/// Whether this host's owner lets the order be obeyed at all.
///
/// # Errors
/// What `agent.toml` says against it.
pub fn allowed(config: &Config, order: &TaskOrder, script: &Script) -> Result<(), Refused> {
    if config.mode == Mode::Evaluate && order.kind != TaskKind::Preview {
        return refuse(
            Refusal::Disabled,
            "agent.toml says mode = \"evaluate\": nothing is changed here from afar",
        );
    }
    if order.kind == TaskKind::Undo {
        return Ok(());
    }
    if let Some(target) =
        order.targets.iter().find(|target| config.deny.controls.contains(&target.spot.control))
    {
        return refuse(Refusal::Denied, format!("agent.toml denies control {}", target.spot.control));
    }
    if script.confinement == Confine::Host && !config.allow_host {
        return refuse(
            Refusal::Denied,
            "the script wants confinement: host, and agent.toml does not say allow_host = true",
        );
    }
    if let Interpreter::Program(path) = &script.interpreter
        && !config.interpreters.iter().any(|allowed| allowed == Path::new(path))
    {
        return refuse(
            Refusal::Denied,
            format!(
                "the script wants the interpreter {path}, which agent.toml does not list; next: there, \
                 interpreters = [{path:?}]"
            ),
        );
    }
    Ok(())
}

/// Every declared parameter has a value within its pattern, and nothing else comes along.
fn check_params(order: &TaskOrder, script: &Script) -> Result<(), Refused> {
    for (name, param) in &script.params {
        let Some(value) = order.params.get(name) else {
            return refuse(
                Refusal::BadParameter,
                format!("{name} has no value; its pattern is {:?}", param.pattern),
            );
        };
        if !param.accepts(&script.interpreter, value) {
            return refuse(
                Refusal::BadParameter,
                format!("{name} is {:?}, outside its signed pattern {:?}", clip(value), param.pattern),
            );
        }
    }
    match order.params.keys().find(|name| !script.params.contains_key(*name)) {
        Some(name) => {
            refuse(Refusal::BadParameter, format!("{:?} is not a parameter of the script", clip(name)))
        }
        None => Ok(()),
    }
}

fn refusal_of(error: &OpenError, what: &str) -> Refused {
    let reason = match error {
        OpenError::UnknownKey { .. } => Refusal::NotApproved,
        OpenError::BadSignature(_) | OpenError::Payload(_) => Refusal::BadSignature,
    };
    Refused { reason, detail: format!("{what}: {error}") }
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use aright_shared::id::TaskId;

    use super::*;

    #[test]
    fn a_program_reads_scripts_only_where_agent_toml_lists_it() {
        let order = TaskOrder {
            task: TaskId::new(),
            run: None,
            asset: AssetId::new(),
            kind: TaskKind::Run,
            script: Digest::of(b""),
            approval: None,
            params: Default::default(),
            targets: Vec::new(),
            undo_of: None,
            not_before: Millis(0),
            not_after: Millis(1),
            nonce: String::new(),
            confirm_s: 0,
            clock_limit_ms: 0,
        };
        let read_by = |interpreter: &str| -> Script {
            serde_json::from_value(serde_json::json!({
                "aright": 1, "kind": "script", "key": "x", "origin": "custom", "title": "X", "risk": "safe",
                "interpreter": interpreter, "body": "1",
            }))
            .expect("a script")
        };
        let with = |interpreters: &[&str]| Config {
            interpreters: interpreters.iter().map(Into::into).collect(),
            ..Config::default()
        };
        let (perl, other) = (read_by("/usr/bin/perl"), with(&["/usr/bin/perl5", "/usr/bin"]));
        let refused = allowed(&other, &order, &perl).expect_err("refused");
        assert_eq!(refused.reason, Refusal::Denied);
        assert!(refused.detail.contains("next: there, interpreters = [\"/usr/bin/perl\"]"), "{refused}");
        assert_eq!(allowed(&with(&["/usr/bin/perl"]), &order, &perl), Ok(()));
        assert_eq!(allowed(&Config::default(), &order, &read_by("bash")), Ok(()));
    }
}
