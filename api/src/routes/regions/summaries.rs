//! `GET /v1/summaries`: the summary of many regions in one call.

use axum::extract::State;
use axum::response::Response;
use engine::Format;
use engine::regions::{Pick, RegionQuery, Window};
use serde::Deserialize;
use utoipa::IntoParams;

use super::bodies::SummaryList;
use crate::extract::{Accepted, Caller, Query, Read};
use crate::problem::Problem;
use crate::state::App;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// At most 1000 region ids, with commas between; an unknown one refuses the call.
    #[param(example = "it-lombardia,de-bayern")]
    regions: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[param(example = "IT")]
    country: Option<String>,
    /// `1d` to `366d`; `7d` if absent.
    #[param(pattern = r"^[1-9]\d{0,2}d$", example = "7d")]
    window: Option<String>,
    /// What was known then.
    #[param(value_type = Option<DateTime<Utc>>)]
    as_of: Option<String>,
    /// 100 if absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, example = 10)]
    limit: Option<String>,
    /// `meta.next` of the page before.
    cursor: Option<String>,
}

/// Summaries of many regions
#[utoipa::path(get, path = "/v1/summaries", tag = "regions", params(Choice),
    responses((status = 200, body = SummaryList), (status = 304, description = "What the caller has is still right")))]
pub async fn list_summaries(
    caller: Caller<Read>,
    State(app): State<App>,
    accepted: Accepted,
    Query(choice): Query<Choice>,
) -> Result<Response, Problem> {
    accepted.json()?;
    let pick = Pick {
        regions: choice.regions.as_deref().map(super::names).transpose()?,
        country: choice.country,
        limit: super::limit(choice.limit.as_deref())?,
        cursor: choice.cursor,
    };
    let window = choice.window.as_deref().map(Window::parse).transpose()?.unwrap_or_default();
    let as_of = super::as_of(choice.as_of.as_deref())?;
    super::answer(&app, &caller, &accepted, RegionQuery::Summaries { pick, window, as_of }, Format::Json)
        .await
}
