//! What can be done to a delivery by whoever holds it, without the controller's task key and with it.

use anyhow::{Context as _, ensure};
use aright_shared::content::script::{Origin, Script};
use aright_shared::digest::Digest;
use aright_shared::envelope::{APPROVAL, Envelope, TASK};
use aright_shared::id::AssetId;
use aright_shared::library::Library;
use aright_shared::outcome::Refusal;
use aright_shared::task::{Delivery, TaskOrder};
use aright_shared::time::{MINUTE, Millis};
use aright_shared::trust::Approval;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::SigningKey;
use serde_json::Value;

/// What the script says, byte by byte, where it is spoilt: in its body, what it may touch, a pattern. Each
/// stays a script that could run, and whose canary would be heard.
pub const BODY: &str = "# the body";
pub const TOUCHES: &str = "/etc/canary";
pub const PATTERN: &str = "[a-z]{1,8";

pub struct Thief {
    /// The controller's own.
    pub task_key: SigningKey,
    /// The nonce of an order that the agent obeyed before.
    pub spent: String,
}

pub struct Case {
    pub what: &'static str,
    pub refusal: Refusal,
    pub spoil: fn(&Thief, &mut Delivery) -> anyhow::Result<()>,
}

const fn case(
    what: &'static str,
    refusal: Refusal,
    spoil: fn(&Thief, &mut Delivery) -> anyhow::Result<()>,
) -> Case {
    Case { what, refusal, spoil }
}

pub const CASES: &[Case] = &[
    // One byte, by anybody.
    case("body", Refusal::BadSignature, |_, delivery| flip(&mut delivery.script, BODY)),
    case("touches", Refusal::BadSignature, |_, delivery| flip(&mut delivery.script, TOUCHES)),
    case("pattern", Refusal::BadSignature, |_, delivery| flip(&mut delivery.script, PATTERN)),
    case("asset", Refusal::BadSignature, |_, delivery| {
        let asset = order(&delivery.order)?.asset;
        flip_payload(&mut delivery.order, asset.as_str())
    }),
    case("nonce", Refusal::BadSignature, |_, delivery| {
        let nonce = order(&delivery.order)?.nonce;
        flip_payload(&mut delivery.order, nonce.trim_end_matches('='))
    }),
    case("approval", Refusal::BadSignature, |_, delivery| {
        flip_payload(delivery.approval.as_mut().context("no approval")?, "\"approver\":\"admin")
    }),
    // The same, signed by whoever has the controller's task key.
    case("body, re-signed", Refusal::NotApproved, |thief, delivery| {
        flip(&mut delivery.script, BODY)?;
        thief.approve(delivery)
    }),
    case("touches, re-signed", Refusal::NotApproved, |thief, delivery| {
        flip(&mut delivery.script, TOUCHES)?;
        thief.approve(delivery)
    }),
    case("pattern, re-signed", Refusal::NotApproved, |thief, delivery| {
        flip(&mut delivery.script, PATTERN)?;
        thief.approve(delivery)
    }),
    case("body, re-signed in the approver's name", Refusal::BadSignature, |thief, delivery| {
        let approver = key_of(delivery.approval.as_ref())?;
        flip(&mut delivery.script, BODY)?;
        thief.approve(delivery)?;
        let mut forged = serde_json::to_value(&delivery.approval)?;
        forged["signatures"][0]["keyid"] = approver;
        let forged: Envelope = serde_json::from_value(forged)?;
        let digest = forged.digest()?;
        delivery.approval = Some(forged);
        thief.sign(delivery, |order| order.approval = Some(digest))
    }),
    case("body, re-signed, with the old approval", Refusal::BadSignature, |thief, delivery| {
        flip(&mut delivery.script, BODY)?;
        let digest = Digest::of(delivery.script.as_bytes());
        thief.sign(delivery, |order| order.script = digest)
    }),
    case("labelled library", Refusal::NotApproved, |thief, delivery| {
        let mut script = Script::parse_canonical(delivery.script.as_bytes())?;
        script.origin = Origin::Library;
        delivery.script = String::from_utf8(script.canonical())?;
        delivery.approval = None;
        thief.sign(delivery, |order| {
            order.script = script.digest();
            order.approval = None;
        })
    }),
    case("parameter outside its pattern", Refusal::BadParameter, |thief, delivery| {
        thief.sign(delivery, |order| {
            order.params.insert("ARIGHT_WORD".into(), "$(reboot)".into());
        })
    }),
    case("parameter that was not declared", Refusal::BadParameter, |thief, delivery| {
        thief.sign(delivery, |order| {
            order.params.insert("ARIGHT_MORE".into(), "word".into());
        })
    }),
    case("another asset, re-signed", Refusal::WrongAsset, |thief, delivery| {
        thief.sign(delivery, |order| order.asset = AssetId::new())
    }),
    case("expired", Refusal::Expired, |thief, delivery| {
        thief.sign(delivery, |order| order.not_after = order.not_before.plus(MINUTE / 2))
    }),
    case("replayed nonce, re-signed", Refusal::Replayed, |thief, delivery| {
        thief.sign(delivery, |order| order.nonce.clone_from(&thief.spent))
    }),
];

/// Of a library script, which has no approval: only its digest speaks for it.
pub const LIBRARY_CASES: &[Case] = &[
    case("body of a library script", Refusal::BadSignature, |_, delivery| {
        flip(&mut delivery.script, "file=/etc/login.defs")
    }),
    case("another library script in its place", Refusal::BadSignature, |_, delivery| {
        let other = Library::builtin().scripts().find(|script| script.key.as_str() == "login-defs-umask-fix");
        delivery.script = String::from_utf8(other.context("no such script")?.canonical())?;
        Ok(())
    }),
    case("body of a library script, re-signed", Refusal::NotApproved, |thief, delivery| {
        flip(&mut delivery.script, "file=/etc/login.defs")?;
        let digest = Digest::of(delivery.script.as_bytes());
        thief.sign(delivery, |order| order.script = digest)
    }),
];

impl Thief {
    /// Signs the order anew, changed.
    pub fn sign(&self, delivery: &mut Delivery, change: impl FnOnce(&mut TaskOrder)) -> anyhow::Result<()> {
        let mut order = order(&delivery.order)?;
        change(&mut order);
        delivery.order = Envelope::seal(TASK, &order, &[&self.task_key])?;
        Ok(())
    }

    /// Signs an approval of the script as it is now, and the order.
    pub fn approve(&self, delivery: &mut Delivery) -> anyhow::Result<()> {
        let script = Digest::of(delivery.script.as_bytes());
        let approval = self.approval(&delivery.script)?;
        let digest = approval.digest()?;
        delivery.approval = Some(approval);
        self.sign(delivery, |order| {
            order.script = script;
            order.approval = Some(digest);
        })
    }

    pub fn approval(&self, script: &str) -> anyhow::Result<Envelope> {
        let approval = Approval {
            script: Digest::of(script.as_bytes()),
            key: Script::parse_canonical(script.as_bytes())?.key,
            approver: "admin".into(),
            approved: Millis(0),
            not_after: Millis(4_102_444_800_000),
        };
        Ok(Envelope::seal(APPROVAL, &approval, &[&self.task_key])?)
    }
}

/// Flips the lowest bit of the last byte of `place`.
pub fn flip(text: &mut String, place: &str) -> anyhow::Result<()> {
    let at = text.find(place).with_context(|| format!("no {place:?} in {text}"))? + place.len() - 1;
    let mut bytes = std::mem::take(text).into_bytes();
    bytes[at] ^= 1;
    *text = String::from_utf8(bytes)?;
    Ok(())
}

fn flip_payload(envelope: &mut Envelope, place: &str) -> anyhow::Result<()> {
    let mut value = serde_json::to_value(&*envelope)?;
    let mut payload = payload(&value)?;
    flip(&mut payload, place)?;
    value["payload"] = BASE64.encode(payload).into();
    *envelope = serde_json::from_value(value)?;
    Ok(())
}

/// What anybody can read in an envelope, without asking who signed it.
pub fn order(envelope: &Envelope) -> anyhow::Result<TaskOrder> {
    Ok(serde_json::from_str(&payload(&serde_json::to_value(envelope)?)?)?)
}

fn payload(envelope: &Value) -> anyhow::Result<String> {
    Ok(String::from_utf8(BASE64.decode(envelope["payload"].as_str().context("no payload")?)?)?)
}

fn key_of(approval: Option<&Envelope>) -> anyhow::Result<Value> {
    let value = serde_json::to_value(approval.context("no approval")?)?;
    ensure!(value["signatures"][0]["keyid"].is_string(), "{value}");
    Ok(value["signatures"][0]["keyid"].clone())
}
