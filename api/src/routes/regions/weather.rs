//! `GET /v1/regions/{region}/weather` and `GET /v1/weather?regions=`

use axum::extract::State;
use axum::response::Response;
use engine::regions::{Bound, Grain, Of, RegionQuery, SeriesQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::series::{self, WeatherSeries};
use crate::extract::{Accepted, At, Caller, Query, Read, RegionAt};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::RowFormat;
use crate::state::App;

/// Parameters of a series; `regions` only where the path names none.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// First day (`2026-01-31`) or instant; the beginning if absent.
    #[param(example = "2026-01-01")]
    pub from: Option<String>,
    /// Day or instant after the last; the end if absent.
    #[param(example = "2026-02-01")]
    pub to: Option<String>,
    /// `day` if absent; the market has no hours.
    #[param(value_type = Option<series::Grain>, example = "month")]
    pub grain: Option<String>,
    /// Columns to answer, with commas between; all if absent.
    pub fields: Option<String>,
    /// What was known then.
    #[param(value_type = Option<DateTime<Utc>>)]
    pub as_of: Option<String>,
    /// Goes before `Accept`.
    #[param(value_type = Option<RowFormat>, example = "csv")]
    pub format: Option<String>,
    /// Whether CSV begins with a byte order mark, as Excel needs it.
    #[param(value_type = Option<bool>)]
    pub bom: Option<bool>,
}

/// The same over several regions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SeriesOfMany {
    /// At most 1000 region ids, with commas between.
    #[param(required = true, min_length = 1, example = "it-lombardia,de-bayern")]
    pub regions: Option<String>,
    /// First day (`2026-01-31`) or instant; the beginning if absent.
    #[param(example = "2026-01-01")]
    pub from: Option<String>,
    /// Day or instant after the last; the end if absent.
    #[param(example = "2026-02-01")]
    pub to: Option<String>,
    /// `day` if absent; the market has no hours.
    #[param(value_type = Option<series::Grain>, example = "month")]
    pub grain: Option<String>,
    /// Columns to answer, with commas between; all if absent.
    pub fields: Option<String>,
    /// What was known then.
    #[param(value_type = Option<DateTime<Utc>>)]
    pub as_of: Option<String>,
    /// Goes before `Accept`.
    #[param(value_type = Option<RowFormat>, example = "csv")]
    pub format: Option<String>,
    /// Whether CSV begins with a byte order mark, as Excel needs it.
    #[param(value_type = Option<bool>)]
    pub bom: Option<bool>,
}

impl SeriesOfMany {
    /// The named regions and the rest. Errors: `invalid-parameter` without `regions`.
    pub fn split(self) -> Result<(Of, Series), Problem> {
        let Self { regions, from, to, grain, fields, as_of, format, bom } = self;
        let missing = || {
            Problem::because(Kind::InvalidParameter, "`regions` is needed: region ids with commas between")
        };
        let regions = super::names(&regions.ok_or_else(missing)?)?;
        Ok((Of::Many(regions), Series { from, to, grain, fields, as_of, format, bom }))
    }
}

impl Series {
    /// The question. Errors: `invalid-parameter`, `invalid-period`.
    pub fn query(&self, regions: Of) -> Result<SeriesQuery, Problem> {
        Ok(SeriesQuery {
            regions,
            from: self.from.as_deref().map(|text| Bound::parse("from", text)).transpose()?,
            to: self.to.as_deref().map(|text| Bound::parse("to", text)).transpose()?,
            grain: self.grain.as_deref().map(Grain::parse).transpose()?.unwrap_or_default(),
            fields: super::fields(self.fields.as_deref()),
            as_of: super::as_of(self.as_of.as_deref())?,
        })
    }
}

/// Weather of a region
///
/// - Shape: one row an hour, day, month or year, ascending; a day without data has no row.
/// - Units: `air_temperature` degC, `precipitation` mm, `wind_speed` m/s, `relative_humidity` %.
/// - Source: tables `weather.daily` and `weather.hourly`.
#[utoipa::path(get, path = "/v1/regions/{region}/weather", tag = "regions",
    params(("region" = String, Path, description = "Region id", example = "it-lombardia"), Series),
    responses((status = 200, body = WeatherSeries), (status = 304, description = "What the caller has is still right")))]
pub async fn region_weather(
    caller: Caller<Read>,
    State(app): State<App>,
    At(region): RegionAt,
    accepted: Accepted,
    Query(series): Query<Series>,
) -> Result<Response, Problem> {
    let format = accepted.format(series.format.as_deref())?;
    let accepted = accepted.with_bom(series.bom, format);
    let query = RegionQuery::Weather(series.query(Of::One(region))?);
    super::answer(&app, &caller, &accepted, query, format).await
}

/// Weather of several regions
///
/// As the series of one region, each row with its `region_id`.
#[utoipa::path(get, path = "/v1/weather", tag = "regions", params(SeriesOfMany),
    responses((status = 200, body = WeatherSeries), (status = 304, description = "What the caller has is still right")))]
pub async fn regions_weather(
    caller: Caller<Read>,
    State(app): State<App>,
    accepted: Accepted,
    Query(many): Query<SeriesOfMany>,
) -> Result<Response, Problem> {
    let (regions, series) = many.split()?;
    let format = accepted.format(series.format.as_deref())?;
    let accepted = accepted.with_bom(series.bom, format);
    super::answer(&app, &caller, &accepted, RegionQuery::Weather(series.query(regions)?), format).await
}
