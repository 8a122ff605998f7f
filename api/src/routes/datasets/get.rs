//! `GET /v1/datasets/{name}`

use axum::extract::State;
use axum::response::Response;
use identity::Name;

use crate::extract::{At, Caller, Read};
use crate::problem::Problem;
use crate::routes::bodies::{Dataset, One};
use crate::state::App;

/// One dataset
#[utoipa::path(get, path = "/v1/datasets/{name}", tag = "datasets",
    params(("name" = String, Path, description = "Name of the dataset", example = "sales")),
    responses((status = 200, body = One<Dataset>)))]
pub async fn get_dataset(
    caller: Caller<Read>,
    State(app): State<App>,
    At(name): At<Name>,
) -> Result<Response, Problem> {
    let table = super::find(&app, caller.workspace(), &name).await?;
    Ok(One::new(Dataset::from(&*table)).ok())
}
