//! `GET /v1/regions/{region}/market` and `GET /v1/market?regions=`

use axum::extract::State;
use axum::response::Response;
use engine::regions::{Of, RegionQuery};

use super::parameters::{MarketOfMany, MarketOfOne};
use super::series::MarketSeries;
use crate::extract::{Accepted, At, Caller, Query, Read, RegionAt};
use crate::problem::Problem;
use crate::state::App;

/// Market of a region
///
/// - Shape: one row a day, month or year, ascending; a day without events and history has no row.
/// - Units: prices in the lake's currency, `interest` in index points.
/// - Source: table `market.daily`.
#[utoipa::path(get, path = "/v1/regions/{region}/market", tag = "regions",
    params(("region" = String, Path, description = "Region id", example = "it-lombardia"), MarketOfOne),
    responses((status = 200, body = MarketSeries), (status = 304, description = "What the caller has is still right")))]
pub async fn region_market(
    caller: Caller<Read>,
    State(app): State<App>,
    At(region): RegionAt,
    accepted: Accepted,
    Query(series): Query<MarketOfOne>,
) -> Result<Response, Problem> {
    let format = accepted.format(series.format.as_deref())?;
    let accepted = accepted.with_bom(series.bom, format);
    let query = RegionQuery::Market(series.query(Of::One(region))?);
    super::answer(&app, &caller, &accepted, query, format).await
}

/// Market of several regions
///
/// As the series of one region, each row with its `region_id`.
#[utoipa::path(get, path = "/v1/market", tag = "regions", params(MarketOfMany),
    responses((status = 200, body = MarketSeries), (status = 304, description = "What the caller has is still right")))]
pub async fn regions_market(
    caller: Caller<Read>,
    State(app): State<App>,
    accepted: Accepted,
    Query(many): Query<MarketOfMany>,
) -> Result<Response, Problem> {
    let (regions, series) = many.split()?;
    let format = accepted.format(series.format.as_deref())?;
    let accepted = accepted.with_bom(series.bom, format);
    super::answer(&app, &caller, &accepted, RegionQuery::Market(series.query(regions)?), format).await
}
