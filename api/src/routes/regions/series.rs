//! The bodies of series as the document describes them; the engine writes the bytes.
//!
//! Which columns a row has follows from `grain` and `fields`, so none of them is sure to be there.
#![expect(dead_code, reason = "these types exist to be described, the engine encodes the answers")]

use chrono::{DateTime, NaiveDate, Utc};
use utoipa::ToSchema;

use super::bodies::WeatherUnits;
use crate::routes::bodies::TableVersion;

/// What one row of a series covers.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase", example = "day")]
pub enum Grain {
    Hour,
    Day,
    Month,
    Year,
}

/// What one row of a market series covers.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase", example = "day")]
pub enum MarketGrain {
    Day,
    Month,
    Year,
}

/// Weather of an hour (`time`), a day (`day`), or a `month` or `year` by its first day.
#[derive(ToSchema)]
#[schema(example = json!({"day": "2026-01-31", "air_temperature_mean": 7.5, "air_temperature_min": 5.0, "air_temperature_max": 10.0,
    "precipitation_sum": 0.6, "wind_speed_mean": 2.2, "relative_humidity_mean": 78.0, "hours": 24, "origin": "hours"}))]
pub struct WeatherRow {
    /// Where several regions were asked for.
    #[schema(required = false)]
    region_id: String,
    #[schema(required = false)]
    time: DateTime<Utc>,
    #[schema(required = false)]
    day: NaiveDate,
    #[schema(required = false)]
    month: NaiveDate,
    #[schema(required = false)]
    year: NaiveDate,
    /// Days with data in the month or year.
    #[schema(required = false)]
    days: i64,
    air_temperature_mean: Option<f64>,
    air_temperature_min: Option<f64>,
    air_temperature_max: Option<f64>,
    precipitation_sum: Option<f64>,
    wind_speed_mean: Option<f64>,
    relative_humidity_mean: Option<f64>,
    /// Hours behind the row.
    hours: Option<i64>,
    /// `hours` or `archive`.
    origin: Option<String>,
    /// Of an hour, like the three below.
    air_temperature: Option<f64>,
    precipitation_amount: Option<f64>,
    wind_speed: Option<f64>,
    relative_humidity: Option<f64>,
}

#[derive(ToSchema)]
pub struct WeatherMeta {
    #[schema(example = 31)]
    rows: u64,
    #[schema(example = false)]
    truncated: bool,
    #[schema(required = true)]
    next: Option<String>,
    /// The time that `as_of` named.
    #[schema(required = true)]
    as_of: Option<DateTime<Utc>>,
    grain: Grain,
    units: WeatherUnits,
    tables: Vec<TableVersion>,
}

#[derive(ToSchema)]
pub struct WeatherSeries {
    data: Vec<WeatherRow>,
    meta: WeatherMeta,
}

/// Market of a `day`, or of a `month` or `year` by its first day.
#[derive(ToSchema)]
#[schema(example = json!({"day": "2026-01-31", "price_open": 100.0, "price_high": 104.0, "price_low": 98.0, "price_close": 102.0,
    "price_mean": 101.2, "interest_mean": 47.3, "events": 4211, "origin": "history"}))]
pub struct MarketRow {
    /// Where several regions were asked for.
    #[schema(required = false)]
    region_id: String,
    #[schema(required = false)]
    day: NaiveDate,
    #[schema(required = false)]
    month: NaiveDate,
    #[schema(required = false)]
    year: NaiveDate,
    /// Days with data in the month or year.
    #[schema(required = false)]
    days: i64,
    price_open: Option<f64>,
    price_high: Option<f64>,
    price_low: Option<f64>,
    price_close: Option<f64>,
    price_mean: Option<f64>,
    interest_mean: Option<f64>,
    /// Events behind the row.
    events: Option<i64>,
    /// `events` or `history`.
    origin: Option<String>,
}

#[derive(ToSchema)]
pub struct MarketMeta {
    #[schema(example = 7)]
    rows: u64,
    #[schema(example = false)]
    truncated: bool,
    #[schema(required = true)]
    next: Option<String>,
    /// The time that `as_of` named.
    #[schema(required = true)]
    as_of: Option<DateTime<Utc>>,
    grain: MarketGrain,
    /// ISO 4217, of the prices.
    #[schema(example = "EUR")]
    currency: String,
    tables: Vec<TableVersion>,
}

#[derive(ToSchema)]
pub struct MarketSeries {
    data: Vec<MarketRow>,
    meta: MarketMeta,
}

/// Weather foreseen for an hour.
#[derive(ToSchema)]
#[schema(example = json!({"valid_at": "2026-01-31T00:00:00Z", "air_temperature": 10.0, "precipitation_amount": 0.025, "wind_speed": 2.2,
    "relative_humidity": 78.0}))]
pub struct ForecastRow {
    valid_at: DateTime<Utc>,
    air_temperature: Option<f64>,
    precipitation_amount: Option<f64>,
    wind_speed: Option<f64>,
    relative_humidity: Option<f64>,
}

#[derive(ToSchema)]
pub struct ForecastMeta {
    #[schema(example = 24)]
    rows: u64,
    #[schema(example = false)]
    truncated: bool,
    #[schema(required = true)]
    next: Option<String>,
    /// The time that `as_of` named.
    #[schema(required = true)]
    as_of: Option<DateTime<Utc>>,
    /// When the forecast was made; null where there is none.
    #[schema(required = true, example = "2026-01-31T06:00:00Z")]
    issued_at: Option<DateTime<Utc>>,
    units: WeatherUnits,
    tables: Vec<TableVersion>,
}

#[derive(ToSchema)]
pub struct Forecast {
    data: Vec<ForecastRow>,
    meta: ForecastMeta,
}
