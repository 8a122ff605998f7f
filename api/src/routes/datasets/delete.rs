//! `DELETE /v1/datasets/{name}`

use axum::extract::State;
use chrono::Utc;
use http::StatusCode;
use identity::Name;

use crate::extract::{At, Caller, Write};
use crate::problem::Problem;
use crate::state::App;

/// Deletes a dataset
///
/// It is gone for readers at once; its bytes are removed soon after.
#[utoipa::path(delete, path = "/v1/datasets/{name}", tag = "datasets",
    params(("name" = String, Path, description = "Name of the dataset", example = "sales")),
    responses((status = 204, description = "Deleted")))]
pub async fn delete_dataset(
    caller: Caller<Write>,
    State(app): State<App>,
    At(name): At<Name>,
) -> Result<StatusCode, Problem> {
    caller.spend(&app, 1)?;
    super::find(&app, caller.workspace(), &name).await?;
    let gone = app.catalog.delete(caller.workspace(), &name, Utc::now()).await?;
    gone.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| super::unknown(&name))
}
