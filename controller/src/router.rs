//! Every route, in one table.

use std::sync::Arc;

use aright_shared::{api, wire};
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};

use crate::app::App;
use crate::auth;
use crate::error::Refused;
use crate::http_in::BodyLimit;
use crate::{agent_api as agents, api as operators};

/// The agents' port: `/agent/v1`, as [`aright_shared::wire`] tells it.
pub fn agents_port(app: &Arc<App>) -> Router {
    let open = Router::new()
        .route("/enroll", post(agents::enroll::handle))
        .route("/time", post(agents::time::handle));
    let lately = Router::new()
        .route("/renew", post(agents::renew::handle))
        .route("/leave", post(agents::leave::handle))
        .route_layer(from_fn_with_state(app.clone(), auth::agent::demand_for_renewal));
    let known = Router::new()
        .route("/check-in", post(agents::check_in::handle))
        .route("/report", post(agents::report::handle))
        .route("/tasks/{id}/running", post(agents::running::handle))
        .route("/tasks/{id}/result", post(agents::result::handle))
        .route("/tasks/{id}/undone", post(agents::undone::handle))
        .route_layer(from_fn_with_state(app.clone(), auth::agent::demand));
    Router::new()
        .nest("/agent/v1", open.merge(lately).merge(known))
        .fallback(nowhere)
        .method_not_allowed_fallback(no_method)
        .layer(Extension(BodyLimit(wire::MAX_BODY)))
        .with_state(app.clone())
}

/// The operators' port: `/api/v1`, as [`aright_shared::api`] tells it.
pub fn operators_port(app: &Arc<App>) -> Router {
    let open = Router::new()
        .route("/version", get(operators::version::handle))
        .route("/health", get(operators::health::handle))
        .route("/session", post(operators::session::create::handle));
    let known = Router::new()
        .route("/session", delete(operators::session::delete::handle))
        .route("/assets", get(operators::assets::list::handle))
        .route("/assets/{id}", get(operators::assets::show::handle))
        .route("/assets/{id}/revoke", post(operators::assets::revoke::handle))
        .route("/assets/{id}/evaluate", post(operators::assets::evaluate::handle))
        .route("/assets/{id}/previews", post(operators::assets::preview::handle))
        .route(
            "/assets/{id}/tags/{tag}",
            put(operators::assets::tag::handle).delete(operators::assets::untag::handle),
        )
        .route("/tags", get(operators::tags::list::handle))
        .route(
            "/enroll-keys",
            get(operators::enroll_keys::list::handle).post(operators::enroll_keys::create::handle),
        )
        .route("/enroll-keys/{id}/revoke", post(operators::enroll_keys::revoke::handle))
        .route("/technologies", get(operators::documents::technologies))
        .route("/controls", get(operators::documents::controls))
        .route("/policies", get(operators::policies::list::handle).post(operators::policies::import::handle))
        .route(
            "/policies/{key}",
            get(operators::policies::show::handle).delete(operators::policies::remove::handle),
        )
        .route("/postures", get(operators::postures::list::handle))
        .route("/postures/{id}", get(operators::postures::show::handle))
        .route("/scripts", get(operators::scripts::list::handle).post(operators::scripts::upload::handle))
        .route("/scripts/{key}", get(operators::scripts::show::handle))
        .route("/scripts/{key}/approvals", post(operators::scripts::approve::handle))
        .route("/jobs", get(operators::jobs::list::handle).post(operators::jobs::create::handle))
        .route("/jobs/reach", post(operators::jobs::reach::of_new))
        .route("/jobs/{id}", get(operators::jobs::show::handle).put(operators::jobs::edit::handle))
        .route("/jobs/{id}/reach", get(operators::jobs::reach::of_job))
        .route("/jobs/{id}/activate", post(operators::jobs::activate::activate))
        .route("/jobs/{id}/deactivate", post(operators::jobs::activate::deactivate))
        .route("/jobs/{id}/runs", post(operators::jobs::run::handle))
        .route("/jobs/{id}/cancel", post(operators::jobs::cancel::handle))
        .route("/runs/{id}", get(operators::runs::show::handle))
        .route("/runs/{id}/pause", post(operators::runs::steer::pause))
        .route("/runs/{id}/resume", post(operators::runs::steer::resume))
        .route("/runs/{id}/cancel", post(operators::runs::steer::cancel))
        .route("/tasks", get(operators::tasks::list::handle))
        .route("/tasks/{id}", get(operators::tasks::show::handle))
        .route("/tasks/{id}/undo", post(operators::tasks::undo::handle))
        .route("/tasks/{id}/cancel", post(operators::tasks::cancel::handle))
        .route("/licence", get(operators::licence::show).put(operators::licence::set))
        .route(
            "/stop",
            get(operators::stop::show).post(operators::stop::set).delete(operators::stop::release),
        )
        .route("/audit", get(operators::audit::handle))
        .route("/trust", get(operators::trust::show).post(operators::trust::import))
        .route_layer(from_fn_with_state(app.clone(), auth::operator::demand));
    Router::new()
        .nest("/api/v1", open.merge(known))
        .fallback(nowhere)
        .method_not_allowed_fallback(no_method)
        .layer(Extension(BodyLimit(api::MAX_BODY)))
        .with_state(app.clone())
}

async fn nowhere(uri: http::Uri) -> Refused {
    Refused::new(http::StatusCode::NOT_FOUND, "no-route", "there is nothing at this path")
        .field("path")
        .value(uri.path())
        .remedy("agents use /agent/v1 on the agents' port, operators /api/v1 on theirs")
}

async fn no_method(method: http::Method, uri: http::Uri) -> Refused {
    Refused::new(http::StatusCode::METHOD_NOT_ALLOWED, "no-method", "this path does not take this method")
        .field("method")
        .value(format!("{method} {}", uri.path()))
        .remedy("use the method that the route table names")
}
