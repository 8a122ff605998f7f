//! `GET /v1/regions`

use axum::extract::State;
use axum::response::Response;
use engine::Format;
use engine::regions::{BoundingBox, ListRegions, Point, RegionQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::bodies::RegionList;
use crate::extract::{Accepted, Caller, Query, Read};
use crate::problem::Problem;
use crate::state::App;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// Degrees: `west,south,east,north`.
    #[param(example = "5,44,20,55")]
    bbox: Option<String>,
    /// Nearest first: `lon,lat` in degrees.
    #[param(example = "9.19,45.46")]
    near: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[param(example = "IT")]
    country: Option<String>,
    /// Part of the name or id.
    #[param(example = "lomb")]
    q: Option<String>,
    /// 100 if absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, example = 10)]
    limit: Option<String>,
    /// `meta.next` of the page before.
    cursor: Option<String>,
}

/// Regions, filtered
///
/// All given filters hold together. The list ends where `meta.next` is null.
#[utoipa::path(get, path = "/v1/regions", tag = "regions", params(Filters),
    responses((status = 200, body = RegionList), (status = 304, description = "What the caller has is still right")))]
pub async fn list_regions(
    caller: Caller<Read>,
    State(app): State<App>,
    accepted: Accepted,
    Query(filters): Query<Filters>,
) -> Result<Response, Problem> {
    accepted.json()?;
    let query = RegionQuery::List(ListRegions {
        bbox: filters.bbox.as_deref().map(BoundingBox::parse).transpose()?,
        near: filters.near.as_deref().map(Point::parse).transpose()?,
        country: filters.country,
        q: filters.q,
        limit: super::limit(filters.limit.as_deref())?,
        cursor: filters.cursor,
    });
    super::answer(&app, &caller, &accepted, query, Format::Json).await
}
