//! `GET /v1/regions/{region}/summary`: the core answer.

use axum::extract::State;
use axum::response::Response;
use engine::Format;
use engine::regions::{RegionQuery, Window};
use serde::Deserialize;
use utoipa::IntoParams;

use super::bodies::SummaryBody;
use crate::extract::{Accepted, At, Caller, Query, Read, RegionAt};
use crate::problem::Problem;
use crate::state::App;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Local days that end at the region's latest day with data: `1d` to `366d`; `7d` if absent.
    #[param(pattern = r"^[1-9]\d{0,2}d$", example = "7d")]
    window: Option<String>,
    /// What was known then; within the retention horizon.
    #[param(value_type = Option<DateTime<Utc>>)]
    as_of: Option<String>,
}

/// Weather, market and metadata of a region
///
/// A mean ignores nulls; `days`, `hours` and `events` tell the coverage.
#[utoipa::path(get, path = "/v1/regions/{region}/summary", tag = "regions",
    params(("region" = String, Path, description = "Region id", example = "it-lombardia"), Span),
    responses((status = 200, body = SummaryBody), (status = 304, description = "What the caller has is still right")))]
pub async fn region_summary(
    caller: Caller<Read>,
    State(app): State<App>,
    At(region): RegionAt,
    accepted: Accepted,
    Query(span): Query<Span>,
) -> Result<Response, Problem> {
    accepted.json()?;
    let window = span.window.as_deref().map(Window::parse).transpose()?.unwrap_or_default();
    let as_of = super::as_of(span.as_of.as_deref())?;
    super::answer(&app, &caller, &accepted, RegionQuery::Summary { region, window, as_of }, Format::Json)
        .await
}
