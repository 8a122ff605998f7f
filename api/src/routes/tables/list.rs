//! `GET /v1/tables`

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;

use crate::extract::{Caller, Read};
use crate::problem::Problem;
use crate::routes::bodies::{List, TableBody};
use crate::state::App;

/// Every table the caller may see
///
/// The platform's, then the caller's own (`my`), by name.
#[utoipa::path(get, path = "/v1/tables", tag = "tables", responses((status = 200, body = List<TableBody>)))]
pub async fn list_tables(caller: Caller<Read>, State(app): State<App>) -> Result<Response, Problem> {
    let now = Utc::now();
    let tables = app.catalog.list(caller.workspace()).await?;
    Ok(List::new(tables.iter().map(|table| TableBody::new(table, Vec::new(), now)).collect(), None).ok())
}
