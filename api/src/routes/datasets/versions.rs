//! `GET /v1/datasets/{name}/versions`

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use identity::Name;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::{At, Caller, Read};
use crate::problem::Problem;
use crate::routes::bodies::List;
use crate::state::App;

/// A version of a dataset.
#[derive(Serialize, ToSchema)]
pub struct Version {
    #[schema(example = 1)]
    version: i64,
    #[schema(example = 2)]
    rows: i64,
    #[schema(example = 1507)]
    bytes: i64,
    /// What made it: `overwrite` (also of a new dataset), `append`, `upsert` or `compact`.
    #[schema(example = "overwrite")]
    operation: String,
    #[schema(example = "2026-02-01T06:00:00Z")]
    at: DateTime<Utc>,
}

/// Versions of a dataset, newest first
#[utoipa::path(get, path = "/v1/datasets/{name}/versions", tag = "datasets",
    params(("name" = String, Path, description = "Name of the dataset", example = "sales")),
    responses((status = 200, body = List<Version>)))]
pub async fn list_versions(
    caller: Caller<Read>,
    State(app): State<App>,
    At(name): At<Name>,
) -> Result<Response, Problem> {
    let table = super::find(&app, caller.workspace(), &name).await?;
    let rows = app.catalog.versions(table.id, 1_000, None).await?;
    let version = |row: catalog::VersionRow| Version {
        version: row.version,
        rows: row.rows,
        bytes: row.bytes,
        operation: row.operation,
        at: row.published_at,
    };
    Ok(List::new(rows.into_iter().map(version).collect(), None).ok())
}
