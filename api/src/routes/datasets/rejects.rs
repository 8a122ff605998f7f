//! `GET /v1/datasets/{name}/rejects`

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use identity::Name;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::{At, Caller, Read};
use crate::problem::Problem;
use crate::routes::bodies::List;
use crate::state::App;

/// Rows that one upload set aside.
#[derive(Serialize, ToSchema)]
pub struct Rejects {
    #[schema(example = 1)]
    version: i64,
    #[schema(example = "2026-02-01T06:00:00Z")]
    at: DateTime<Utc>,
    /// Row, column, value and reason of each; the first thousand.
    #[schema(value_type = Vec<Object>, example = json!([{"row": 3, "column": "sold", "value": "many"}]))]
    rows: Value,
}

/// Rows set aside by uploads with `on_bad_rows=reject`, newest first
#[utoipa::path(get, path = "/v1/datasets/{name}/rejects", tag = "datasets",
    params(("name" = String, Path, description = "Name of the dataset", example = "sales")),
    responses((status = 200, body = List<Rejects>)))]
pub async fn list_rejects(
    caller: Caller<Read>,
    State(app): State<App>,
    At(name): At<Name>,
) -> Result<Response, Problem> {
    let table = super::find(&app, caller.workspace(), &name).await?;
    let found = app.catalog.rejects(caller.workspace(), table.id, 100).await?;
    let rejects = |one: catalog::Rejects| Rejects { version: one.version, at: one.at, rows: one.rows };
    Ok(List::new(found.into_iter().map(rejects).collect(), None).ok())
}
