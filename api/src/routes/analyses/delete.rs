//! `DELETE /v1/analyses/{name}`

use axum::extract::State;
use chrono::Utc;
use http::StatusCode;
use identity::Name;

use crate::extract::{At, Caller, Write};
use crate::problem::Problem;
use crate::state::App;

/// Deletes an analysis and its stored result
#[utoipa::path(delete, path = "/v1/analyses/{name}", tag = "analyses",
    params(("name" = String, Path, description = "Name of the analysis", example = "hot_days")),
    responses((status = 204, description = "Deleted")))]
pub async fn delete_analysis(
    caller: Caller<Write>,
    State(app): State<App>,
    At(name): At<Name>,
) -> Result<StatusCode, Problem> {
    caller.spend(&app, 1)?;
    super::find(&app, caller.workspace(), &name).await?;
    let gone = app.catalog.delete(caller.workspace(), &name, Utc::now()).await?;
    gone.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| super::unknown(&name))
}
