//! The bodies of the region routes as the document describes them; the engine writes the bytes.
#![expect(dead_code, reason = "these types exist to be described, the engine encodes the answers")]

use chrono::{DateTime, NaiveDate, Utc};
use utoipa::ToSchema;

use crate::routes::bodies::Meta;

/// A region.
#[derive(ToSchema)]
pub struct Region {
    #[schema(example = "it-lombardia")]
    region_id: String,
    #[schema(example = "Lombardia")]
    name: String,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "IT")]
    country: Option<String>,
    /// Degrees, WGS 84.
    #[schema(example = 9.93)]
    lon: Option<f64>,
    /// Degrees, WGS 84.
    #[schema(example = 45.57)]
    lat: Option<f64>,
    /// IANA name.
    #[schema(example = "Europe/Rome")]
    timezone: Option<String>,
    #[schema(example = 9_976_509)]
    population: Option<i64>,
    /// `pending` until a point is known.
    #[schema(example = "active")]
    status: String,
}

#[derive(ToSchema)]
pub struct RegionBody {
    data: Region,
    meta: Meta,
}

#[derive(ToSchema)]
pub struct RegionList {
    data: Vec<Region>,
    meta: Meta,
}

/// `from` is included, `to` is not.
#[derive(ToSchema)]
pub struct Period {
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
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

/// One day, or the means and extremes of the days of a window. What is missing is null, never zero.
#[derive(ToSchema)]
pub struct WeatherFigures {
    /// The day, in `latest`.
    #[schema(required = false)]
    day: Option<NaiveDate>,
    /// Days with data, in `window`.
    #[schema(required = false)]
    days: Option<i64>,
    /// Hours behind the figures.
    hours: i64,
    air_temperature_mean: Option<f64>,
    air_temperature_min: Option<f64>,
    air_temperature_max: Option<f64>,
    precipitation_sum: Option<f64>,
    wind_speed_mean: Option<f64>,
    relative_humidity_mean: Option<f64>,
}

#[derive(ToSchema)]
pub struct WeatherNow {
    time: DateTime<Utc>,
    air_temperature: Option<f64>,
}

#[derive(ToSchema)]
pub struct WeatherSummary {
    units: WeatherUnits,
    latest: Option<WeatherFigures>,
    window: Option<WeatherFigures>,
    now: Option<WeatherNow>,
}

#[derive(ToSchema)]
pub struct MarketFigures {
    #[schema(required = false)]
    day: Option<NaiveDate>,
    #[schema(required = false)]
    days: Option<i64>,
    /// Events behind the figures.
    events: i64,
    price_mean: Option<f64>,
    #[schema(required = false)]
    price_close: Option<f64>,
    interest_mean: Option<f64>,
}

#[derive(ToSchema)]
pub struct MarketSummary {
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    latest: Option<MarketFigures>,
    window: Option<MarketFigures>,
}

/// Metadata, weather and market of one region.
#[derive(ToSchema)]
pub struct Summary {
    region: Region,
    window: Period,
    /// Null where nothing is known; `weather_missing` then says why.
    weather: Option<WeatherSummary>,
    market: Option<MarketSummary>,
}

#[derive(ToSchema)]
pub struct SummaryBody {
    data: Summary,
    meta: Meta,
}

#[derive(ToSchema)]
pub struct SummaryList {
    data: Vec<Summary>,
    meta: Meta,
}

/// Rows of a series, keyed by column: `day` (or `time`, `month`, `year`) and the measures of the table.
#[derive(ToSchema)]
pub struct SeriesBody {
    #[schema(value_type = Vec<std::collections::HashMap<String, serde_json::Value>>)]
    data: Vec<serde_json::Value>,
    meta: Meta,
}
