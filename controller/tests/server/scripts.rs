//! Custom scripts: upload, approval, and what is refused.

use std::path::Path;

use aright_shared::api::{
    CustomScript, NewJob, Page, Script, ScriptApproval, ScriptDetail, ScriptState, ScriptUpload,
};
use aright_shared::client::{Client, ClientError};
use aright_shared::content::script;
use aright_shared::digest::Digest;
use aright_shared::envelope::{APPROVAL, Envelope, new_signing_key};
use aright_shared::id::AssetId;
use aright_shared::time::{Clock as _, DAY, HOUR, Millis, WallClock};
use aright_shared::trust::Approval;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;

use crate::world::{World, names_all, problem};

const CUSTOM: &str = "\
aright: 1
kind: script
key: my-fix
origin: custom
title: Mine
risk: safe
interpreter: sh
timeout_s: 60
params: {ARIGHT_WORD: {from: given, pattern: '[a-z]+'}}
touches: [/etc/mine]
body: |
  echo \"$ARIGHT_WORD\" >/etc/mine
";

pub fn custom() -> script::Script {
    script::Script::from_yaml(CUSTOM).expect("a script")
}

pub async fn upload(world: &World, bytes: Vec<u8>) -> Result<ScriptDetail, ClientError> {
    upload_by(&world.operator, bytes).await
}

pub async fn upload_by(operator: &Client, bytes: Vec<u8>) -> Result<ScriptDetail, ClientError> {
    let bytes = String::from_utf8(bytes).expect("text");
    operator.post("/api/v1/scripts", &ScriptUpload { bytes }).await
}

fn approver(world: &World) -> SigningKey {
    approver_in(&world.folder.path().join("data"))
}

pub fn approver_in(data: &Path) -> SigningKey {
    let path = data.join("offline/approver-admin.key");
    SigningKey::from_pkcs8_pem(&std::fs::read_to_string(path).expect("reads")).expect("a key")
}

pub fn seal(script: Digest, key: &SigningKey, not_after: Millis) -> ScriptApproval {
    let approval = Approval {
        script,
        key: "my-fix".parse().expect("a key"),
        approver: "admin".into(),
        approved: WallClock.now(),
        not_after,
    };
    ScriptApproval { envelope: Envelope::seal(APPROVAL, &approval, &[key]).expect("seals") }
}

async fn send(world: &World, approval: &ScriptApproval) -> Result<ScriptDetail, ClientError> {
    send_by(&world.operator, approval).await
}

pub async fn send_by(operator: &Client, approval: &ScriptApproval) -> Result<ScriptDetail, ClientError> {
    operator.post("/api/v1/scripts/my-fix/approvals", approval).await
}

/// A job, due at once, that runs the custom script on one asset.
pub fn job_of(asset: &AssetId) -> NewJob {
    NewJob {
        name: "mine".into(),
        include_assets: vec![asset.clone()],
        custom_scripts: vec![CustomScript {
            key: "my-fix".parse().expect("a key"),
            params: [("ARIGHT_WORD".to_owned(), "hello".to_owned())].into(),
        }],
        hold_s: Some(0),
        expiry_s: Some(10 * 24 * 3600),
        ..NewJob::default()
    }
}

/// A custom script, approved for an hour.
pub async fn approved(world: &World) -> ScriptDetail {
    let draft = upload(world, custom().canonical()).await.expect("uploaded");
    approve(world, draft.script.digest).await
}

/// For an hour.
pub async fn approve(world: &World, script: Digest) -> ScriptDetail {
    let approval = seal(script, &approver(world), WallClock.now().plus(HOUR));
    send(world, &approval).await.expect("approved")
}

#[tokio::test]
async fn a_script_is_a_draft_until_an_approver_of_the_trust_document_signs_it() {
    let world = World::start().await;
    let draft = upload(&world, custom().canonical()).await.expect("uploaded");
    assert_eq!((draft.script.state, draft.script.version), (ScriptState::Draft, 1));
    assert_eq!(draft.script.digest, custom().digest());
    let later = WallClock.now().plus(DAY);
    let stranger = new_signing_key().expect("a key");
    let unknown = problem(send(&world, &seal(draft.script.digest, &stranger, later)).await);
    assert_eq!(unknown.kind, "approval-not-believed");
    let other = problem(send(&world, &seal(Digest::of(b"other"), &approver(&world), later)).await);
    let over = problem(send(&world, &seal(draft.script.digest, &approver(&world), Millis(1))).await);
    [&unknown, &other, &over].into_iter().for_each(names_all);
    let shown: ScriptDetail = world.operator.get("/api/v1/scripts/my-fix").await.expect("shown");
    assert_eq!(shown.script.state, ScriptState::Draft, "nothing stored");
    let approved =
        send(&world, &seal(draft.script.digest, &approver(&world), later)).await.expect("approved");
    assert_eq!((approved.script.state, approved.script.approvals.len()), (ScriptState::Approved, 1));
}

#[tokio::test]
async fn the_same_bytes_are_one_version_others_the_next() {
    let world = World::start().await;
    let first = upload(&world, custom().canonical()).await.expect("uploaded");
    let again = upload(&world, custom().canonical()).await.expect("the same");
    assert_eq!(first, again);
    let second = upload(&world, script::Script { title: "Other".into(), ..custom() }.canonical()).await;
    assert_eq!(second.expect("uploaded").script.version, 2);
    let page: Page<Script> = world.operator.get("/api/v1/scripts").await.expect("listed");
    let keys: Vec<_> = page.items.iter().map(|script| (script.key.as_str(), script.version)).collect();
    assert_eq!(keys, [("banner-fix", 1), ("max-days-fix", 1), ("my-fix", 2)]);
}

#[tokio::test]
async fn what_is_no_custom_script_is_refused_and_leaves_nothing() {
    let world = World::start().await;
    let large = script::Script { body: "x".repeat(500_001), ..custom() };
    let large = problem(upload(&world, large.canonical()).await);
    assert_eq!((large.field.as_deref(), large.value.as_deref()), (Some("body"), Some("500001 bytes")));
    let mut spaced = custom().canonical();
    spaced.push(b'\n');
    let spaced = problem(upload(&world, spaced).await);
    let mut value: serde_json::Value = serde_json::from_slice(&custom().canonical()).expect("json");
    value["boddy"] = "x".into();
    let unknown = problem(upload(&world, aright_shared::envelope::canonical(&value).expect("json")).await);
    assert!(unknown.detail.as_deref().expect("says why").contains("boddy"));
    let library = script::Script { origin: script::Origin::Library, ..custom() };
    let library = problem(upload(&world, library.canonical()).await);
    assert_eq!(library.field.as_deref(), Some("origin"));
    let taken = script::Script { key: "banner-fix".parse().expect("a key"), ..custom() };
    let taken = problem(upload(&world, taken.canonical()).await);
    assert_eq!(taken.kind, "key-taken");
    let timeout = script::Script { timeout_s: 0, ..custom() };
    let timeout = problem(upload(&world, timeout.canonical()).await);
    assert_eq!((timeout.field.as_deref(), timeout.value.as_deref()), (Some("timeout_s"), Some("0")));
    [&large, &spaced, &unknown, &library, &taken, &timeout].into_iter().for_each(names_all);
    let page: Page<Script> = world.operator.get("/api/v1/scripts").await.expect("listed");
    assert_eq!(page.items.len(), 2, "the library alone");
}
