//! The bodies of the region routes as the document describes them; the engine writes the bytes.
#![expect(dead_code, reason = "these types exist to be described, the engine encodes the answers")]

use chrono::{DateTime, NaiveDate, Utc};
use utoipa::ToSchema;

use crate::routes::bodies::TableVersion;

/// A region.
#[derive(ToSchema)]
pub struct Region {
    #[schema(example = "it-lombardia")]
    region_id: String,
    #[schema(required = true, example = "Lombardia")]
    name: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[schema(required = true, example = "IT")]
    country: Option<String>,
    /// Degrees, WGS 84.
    #[schema(required = true, example = 9.93)]
    lon: Option<f64>,
    /// Degrees, WGS 84.
    #[schema(required = true, example = 45.57)]
    lat: Option<f64>,
    /// IANA name.
    #[schema(required = true, example = "Europe/Rome")]
    timezone: Option<String>,
    #[schema(required = true, example = 9_976_509)]
    population: Option<i64>,
    /// `active`, or `pending` until a point is known.
    #[schema(required = true, example = "active")]
    status: Option<String>,
    /// In a list asked for with `near`.
    #[schema(required = false)]
    distance_km: f64,
}

/// What one region's answer rests on.
#[derive(ToSchema)]
pub struct RegionMeta {
    tables: Vec<TableVersion>,
}

#[derive(ToSchema)]
pub struct RegionBody {
    data: Region,
    meta: RegionMeta,
}

/// What a list of regions rests on.
#[derive(ToSchema)]
pub struct RegionsMeta {
    #[schema(example = 1)]
    rows: u64,
    #[schema(example = false)]
    truncated: bool,
    /// Cursor of the next page; null at the end.
    #[schema(required = true)]
    next: Option<String>,
    tables: Vec<TableVersion>,
}

#[derive(ToSchema)]
pub struct RegionList {
    data: Vec<Region>,
    meta: RegionsMeta,
}

/// `from` is included, `to` is not; null where there is no data to end at.
#[derive(ToSchema)]
pub struct Period {
    #[schema(required = true, example = "2026-01-25")]
    from: Option<NaiveDate>,
    #[schema(required = true, example = "2026-02-01")]
    to: Option<NaiveDate>,
    #[schema(example = 7)]
    days: u32,
}

#[derive(ToSchema)]
pub struct WeatherUnits {
    #[schema(example = "degC")]
    air_temperature: String,
    #[schema(example = "mm")]
    precipitation: String,
    #[schema(example = "m/s")]
    wind_speed: String,
    #[schema(example = "%")]
    relative_humidity: String,
}

/// The latest day with weather. What is missing is null, never zero.
#[derive(ToSchema)]
pub struct WeatherDay {
    #[schema(required = true, example = "2026-01-31")]
    day: Option<NaiveDate>,
    /// Hours behind the figures.
    #[schema(required = true, example = 24)]
    hours: Option<i64>,
    #[schema(required = true, example = 7.5)]
    air_temperature_mean: Option<f64>,
    #[schema(required = true, example = 5.0)]
    air_temperature_min: Option<f64>,
    #[schema(required = true, example = 10.0)]
    air_temperature_max: Option<f64>,
    #[schema(required = true, example = 0.6)]
    precipitation_sum: Option<f64>,
    #[schema(required = true, example = 2.2)]
    wind_speed_mean: Option<f64>,
    #[schema(required = true, example = 78.0)]
    relative_humidity_mean: Option<f64>,
}

/// Means and extremes of the days of a window; each day weighs the same.
#[derive(ToSchema)]
pub struct WeatherWindow {
    #[schema(required = true, example = "2026-01-25")]
    from: Option<NaiveDate>,
    #[schema(required = true, example = "2026-02-01")]
    to: Option<NaiveDate>,
    /// Days with data.
    #[schema(example = 7)]
    days: u64,
    /// Hours behind the figures.
    #[schema(required = true, example = 168)]
    hours: Option<i64>,
    #[schema(required = true, example = 7.5)]
    air_temperature_mean: Option<f64>,
    #[schema(required = true, example = 5.0)]
    air_temperature_min: Option<f64>,
    #[schema(required = true, example = 10.0)]
    air_temperature_max: Option<f64>,
    #[schema(required = true, example = 4.2)]
    precipitation_sum: Option<f64>,
    #[schema(required = true, example = 2.2)]
    wind_speed_mean: Option<f64>,
    #[schema(required = true, example = 78.0)]
    relative_humidity_mean: Option<f64>,
}

/// The latest hour.
#[derive(ToSchema)]
pub struct WeatherNow {
    #[schema(example = "2026-01-31T22:00:00Z")]
    time: DateTime<Utc>,
    #[schema(required = true, example = 10.0)]
    air_temperature: Option<f64>,
}

#[derive(ToSchema)]
pub struct WeatherSummary {
    units: WeatherUnits,
    latest: WeatherDay,
    window: WeatherWindow,
    #[schema(required = true)]
    now: Option<WeatherNow>,
}

/// The latest day of the market.
#[derive(ToSchema)]
pub struct MarketDay {
    #[schema(required = true, example = "2026-01-31")]
    day: Option<NaiveDate>,
    /// Events behind the figures.
    #[schema(required = true, example = 4211)]
    events: Option<i64>,
    #[schema(required = true, example = 101.2)]
    price_mean: Option<f64>,
    #[schema(required = true, example = 102.0)]
    price_close: Option<f64>,
    #[schema(required = true, example = 47.3)]
    interest_mean: Option<f64>,
}

#[derive(ToSchema)]
pub struct MarketWindow {
    #[schema(required = true, example = "2026-01-25")]
    from: Option<NaiveDate>,
    #[schema(required = true, example = "2026-02-01")]
    to: Option<NaiveDate>,
    /// Days with data.
    #[schema(example = 7)]
    days: u64,
    #[schema(required = true, example = 29_477)]
    events: Option<i64>,
    #[schema(required = true, example = 101.2)]
    price_mean: Option<f64>,
    #[schema(required = true, example = 47.3)]
    interest_mean: Option<f64>,
}

#[derive(ToSchema)]
pub struct MarketSummary {
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    latest: MarketDay,
    window: MarketWindow,
}

/// Why a part of a summary is null.
#[derive(ToSchema)]
pub struct Missing {
    #[schema(required = false)]
    weather: String,
    #[schema(required = false)]
    market: String,
}

/// Metadata, weather and market of one region.
#[derive(ToSchema)]
pub struct Summary {
    region: Region,
    window: Period,
    /// Null where nothing is known; `missing` then says why.
    #[schema(required = true)]
    weather: Option<WeatherSummary>,
    #[schema(required = true)]
    market: Option<MarketSummary>,
    #[schema(required = false)]
    missing: Missing,
}

/// What a summary rests on.
#[derive(ToSchema)]
pub struct SummaryMeta {
    /// The time that `as_of` named.
    #[schema(required = true)]
    as_of: Option<DateTime<Utc>>,
    tables: Vec<TableVersion>,
}

#[derive(ToSchema)]
pub struct SummaryBody {
    data: Summary,
    meta: SummaryMeta,
}

/// What a list of summaries rests on.
#[derive(ToSchema)]
pub struct SummariesMeta {
    #[schema(example = 2)]
    rows: u64,
    #[schema(example = false)]
    truncated: bool,
    /// Cursor of the next page; null at the end.
    #[schema(required = true)]
    next: Option<String>,
    /// The time that `as_of` named.
    #[schema(required = true)]
    as_of: Option<DateTime<Utc>>,
    tables: Vec<TableVersion>,
}

#[derive(ToSchema)]
pub struct SummaryList {
    data: Vec<Summary>,
    meta: SummariesMeta,
}
