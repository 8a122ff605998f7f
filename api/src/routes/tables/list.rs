//! `GET /v1/tables`

use axum::extract::State;
use axum::response::Response;
use catalog::Kind;
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
    let mut bodies = Vec::with_capacity(tables.len());
    for table in &tables {
        let mut body = TableBody::new(table, Vec::new(), now);
        // A lake has some dozen models; a customer's tables have none.
        if table.kind == Kind::Platform && !table.upstream.is_empty() {
            body = body.after(app.catalog.model_run(table.id).await?, table.failing_since);
        }
        bodies.push(body);
    }
    Ok(List::new(bodies, None).ok())
}
