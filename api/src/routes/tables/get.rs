//! `GET /v1/tables/{schema}/{table}`

use axum::extract::State;
use axum::response::Response;
use catalog::Kind;
use chrono::Utc;

use crate::extract::{At, Caller, Read, TableAt};
use crate::problem::Problem;
use crate::routes::bodies::{One, TableBody};
use crate::state::App;

/// One table
#[utoipa::path(get, path = "/v1/tables/{schema}/{table}", tag = "tables",
    params(("schema" = String, Path, description = "Schema; `my` for the caller's own", example = "weather"),
        ("table" = String, Path, description = "Name", example = "daily")),
    responses((status = 200, body = One<TableBody>)))]
pub async fn get_table(
    caller: Caller<Read>,
    State(app): State<App>,
    At(name): TableAt,
) -> Result<Response, Problem> {
    let table = super::table(&app, &caller.principal, &name).await?;
    let downstream = super::downstream(&app, &caller.principal, &table).await?;
    let mut body = TableBody::new(&table, downstream, Utc::now());
    if table.kind == Kind::Platform {
        body = body.after(app.catalog.model_run(table.id).await?, table.failing_since);
    }
    Ok(One::new(body).ok())
}
