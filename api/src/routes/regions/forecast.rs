//! `GET /v1/regions/{region}/forecast`

use axum::extract::State;
use axum::response::Response;
use engine::regions::RegionQuery;
use serde::Deserialize;
use utoipa::IntoParams;

use super::series::Forecast;
use crate::extract::{Accepted, At, Caller, Query, Read, RegionAt};
use crate::problem::Problem;
use crate::routes::bodies::RowFormat;
use crate::state::App;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// The newest issue at that time; the newest of all if absent.
    #[param(value_type = Option<DateTime<Utc>>)]
    as_of: Option<String>,
    /// Columns to answer, with commas between; all if absent.
    fields: Option<String>,
    /// Goes before `Accept`.
    #[param(value_type = Option<RowFormat>, example = "csv")]
    format: Option<String>,
    /// Whether CSV begins with a byte order mark, as Excel needs it.
    #[param(value_type = Option<bool>)]
    bom: Option<bool>,
}

/// Weather forecast of a region
///
/// - Shape: the hours of one issue, `valid_at` ascending; every issue is kept.
/// - Source: table `weather.forecast`.
#[utoipa::path(get, path = "/v1/regions/{region}/forecast", tag = "regions",
    params(("region" = String, Path, description = "Region id", example = "it-lombardia"), Issue),
    responses((status = 200, body = Forecast), (status = 304, description = "What the caller has is still right")))]
pub async fn region_forecast(
    caller: Caller<Read>,
    State(app): State<App>,
    At(region): RegionAt,
    accepted: Accepted,
    Query(issue): Query<Issue>,
) -> Result<Response, Problem> {
    let format = accepted.format(issue.format.as_deref())?;
    let accepted = accepted.with_bom(issue.bom, format);
    let as_of = super::as_of(issue.as_of.as_deref())?;
    let query = RegionQuery::Forecast { region, as_of, fields: super::fields(issue.fields.as_deref()) };
    super::answer(&app, &caller, &accepted, query, format).await
}
