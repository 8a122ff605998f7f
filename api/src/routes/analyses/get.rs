//! `GET /v1/analyses/{name}`

use axum::extract::State;
use axum::response::Response;
use identity::Name;

use super::Analysis;
use crate::extract::{At, Caller, Read};
use crate::problem::Problem;
use crate::routes::bodies::One;
use crate::state::App;

/// One analysis
#[utoipa::path(get, path = "/v1/analyses/{name}", tag = "analyses",
    params(("name" = String, Path, description = "Name of the analysis", example = "hot_days")),
    responses((status = 200, body = One<Analysis>)))]
pub async fn get_analysis(
    caller: Caller<Read>,
    State(app): State<App>,
    At(name): At<Name>,
) -> Result<Response, Problem> {
    let table = super::find(&app, caller.workspace(), &name).await?;
    Ok(One::new(Analysis::from(&*table)).ok())
}
