//! `GET /healthz` and `GET /readyz`: up or not, and nothing else.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::Anyone;
use crate::problem::{Kind, Problem};
use crate::routes::bodies::json;
use crate::state::App;

#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "up")]
    status: &'static str,
}

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = Health)))]
pub async fn healthz(_: Anyone) -> Response {
    json(StatusCode::OK, &Health { status: "up" })
}

/// Whether the server can do its work
#[utoipa::path(get, path = "/readyz", tag = "operations", responses((status = 200, body = Health, example = json!({"status": "ready"}))))]
pub async fn readyz(_: Anyone, State(app): State<App>) -> Result<Response, Problem> {
    if !app.readiness.get() {
        return Err(Problem::new(Kind::NotReady).retry_after(1));
    }
    if let Err(error) = app.db.ping().await {
        return Err(Problem::new(Kind::NotReady).caused_by(error).retry_after(1));
    }
    Ok(json(StatusCode::OK, &Health { status: "ready" }))
}
