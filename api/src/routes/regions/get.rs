//! `GET /v1/regions/{region}`

use axum::extract::State;
use axum::response::Response;
use engine::Format;
use engine::regions::RegionQuery;

use super::bodies::RegionBody;
use crate::extract::{Accepted, At, Caller, Read, RegionAt};
use crate::problem::Problem;
use crate::state::App;

/// One region
#[utoipa::path(get, path = "/v1/regions/{region}", tag = "regions",
    params(("region" = String, Path, description = "Region id", example = "it-lombardia")),
    responses((status = 200, body = RegionBody), (status = 304, description = "What the caller has is still right")))]
pub async fn get_region(
    caller: Caller<Read>,
    State(app): State<App>,
    At(region): RegionAt,
    accepted: Accepted,
) -> Result<Response, Problem> {
    accepted.json()?;
    super::answer(&app, &caller, &accepted, RegionQuery::Find { region }, Format::Json).await
}
