//! `GET /v1/regions/{region}/weather` and `GET /v1/weather?regions=`

use axum::extract::State;
use axum::response::Response;
use engine::regions::{Of, RegionQuery};

use super::parameters::{WeatherOfMany, WeatherOfOne};
use super::series::WeatherSeries;
use crate::extract::{Accepted, At, Caller, Query, Read, RegionAt};
use crate::problem::Problem;
use crate::state::App;

/// Weather of a region
///
/// - Shape: one row an hour, day, month or year, ascending; a day without data has no row.
/// - Units: `air_temperature` degC, `precipitation` mm, `wind_speed` m/s, `relative_humidity` %.
/// - Source: tables `weather.daily` and `weather.hourly`.
#[utoipa::path(get, path = "/v1/regions/{region}/weather", tag = "regions",
    params(("region" = String, Path, description = "Region id", example = "it-lombardia"), WeatherOfOne),
    responses((status = 200, body = WeatherSeries), (status = 304, description = "What the caller has is still right")))]
pub async fn region_weather(
    caller: Caller<Read>,
    State(app): State<App>,
    At(region): RegionAt,
    accepted: Accepted,
    Query(series): Query<WeatherOfOne>,
) -> Result<Response, Problem> {
    let format = accepted.format(series.format.as_deref())?;
    let accepted = accepted.with_bom(series.bom, format);
    let query = RegionQuery::Weather(series.query(Of::One(region))?);
    super::answer(&app, &caller, &accepted, query, format).await
}

/// Weather of several regions
///
/// As the series of one region, each row with its `region_id`.
#[utoipa::path(get, path = "/v1/weather", tag = "regions", params(WeatherOfMany),
    responses((status = 200, body = WeatherSeries), (status = 304, description = "What the caller has is still right")))]
pub async fn regions_weather(
    caller: Caller<Read>,
    State(app): State<App>,
    accepted: Accepted,
    Query(many): Query<WeatherOfMany>,
) -> Result<Response, Problem> {
    let (regions, series) = many.split()?;
    let format = accepted.format(series.format.as_deref())?;
    let accepted = accepted.with_bom(series.bom, format);
    super::answer(&app, &caller, &accepted, RegionQuery::Weather(series.query(regions)?), format).await
}
