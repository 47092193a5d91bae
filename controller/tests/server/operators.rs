//! The operators' port: log-in, and what is refused there.

use aright_shared::api::{Health, Login, Trust, Version};

use crate::world::{PASSWORD, World, client, names_all, problem};

#[tokio::test]
async fn a_wrong_password_a_wrong_token_and_a_closed_session_are_refused() {
    let world = World::start().await;
    let url = format!("https://{}", world.server.addresses.operators);
    let stranger = client(&url, world.authority(), None);
    let wrong = Login { user: "admin".into(), password: "wrong".into() };
    let refused = problem(stranger.post::<_, serde_json::Value>("/api/v1/session", &wrong).await);
    assert_eq!(refused.kind, "wrong-log-in");
    let none = problem(stranger.get::<Trust>("/api/v1/trust").await);
    let bad = problem(stranger.clone().with_token("ars_x".into()).get::<Trust>("/api/v1/trust").await);
    assert_eq!((none.status, bad.status), (401, 401));
    [&refused, &none, &bad].into_iter().for_each(names_all);
    let right = Login { user: "admin".into(), password: PASSWORD.into() };
    let session: serde_json::Value = stranger.post("/api/v1/session", &right).await.expect("logs in");
    let user = stranger.with_token(session["token"].as_str().expect("a token").to_owned());
    user.get::<Trust>("/api/v1/trust").await.expect("let in");
    user.delete::<()>("/api/v1/session").await.expect("logged out");
    assert_eq!(problem(user.get::<Trust>("/api/v1/trust").await).status, 401);
}

#[tokio::test]
async fn many_wrong_log_ins_shut_the_door_even_for_the_right_password() {
    let world = World::start().await;
    let url = format!("https://{}", world.server.addresses.operators);
    let stranger = client(&url, world.authority(), None);
    let wrong = Login { user: "admin".into(), password: "wrong".into() };
    for _ in 0..10 {
        stranger.post::<_, serde_json::Value>("/api/v1/session", &wrong).await.expect_err("wrong");
    }
    let right = Login { user: "admin".into(), password: PASSWORD.into() };
    let busy = stranger.post::<_, serde_json::Value>("/api/v1/session", &right).await.expect_err("shut");
    assert!(busy.to_string().contains("too many wrong log-ins"), "{busy}");
}

#[tokio::test]
async fn bad_bodies_are_refused_by_field_value_and_remedy_and_the_process_lives() {
    let world = World::start().await;
    let create = "/api/v1/enroll-keys";
    let post = async |body: serde_json::Value| {
        problem(world.operator.post::<_, EnrollKeyMadeView>(create, &body).await)
    };
    let unknown = post(serde_json::json!({"max_ueses": 2})).await;
    assert_eq!(unknown.field.as_deref(), Some("max_ueses"));
    let range = post(serde_json::json!({"max_uses": 0})).await;
    assert_eq!((range.field.as_deref(), range.value.as_deref()), (Some("max_uses"), Some("0")));
    let large = post(serde_json::json!({"name": "x".repeat(3 * 1024 * 1024)})).await;
    assert_eq!((large.status, large.field.as_deref()), (413, Some("body")));
    let query = problem(world.operator.get::<serde_json::Value>("/api/v1/assets?hostnmae=a").await);
    assert_eq!(query.field.as_deref(), Some("hostnmae"));
    let nowhere = problem(world.operator.get::<serde_json::Value>("/api/v2/assets").await);
    assert_eq!(nowhere.status, 404);
    [&unknown, &range, &large, &query, &nowhere].into_iter().for_each(names_all);
    let version: Version = world.operator.get("/api/v1/version").await.expect("alive");
    assert!(version.dev);
    let health: Health = world.operator.get("/api/v1/health").await.expect("well");
    assert!(health.ok && health.problems.is_empty());
}

/// `EnrollKeyMade` hides its secret from `Debug`; the tests only want the refusal.
#[derive(Debug, serde::Deserialize)]
struct EnrollKeyMadeView {}
