//! "How is region X": metadata, weather and market of the latest day and of a window (case 1).
//!
//! A window is the N local days that end at the region's latest day with data, for weather and for market separately; the `window` at the
//! top is weather's, or market's where there is no weather. Coverage (`days`, `hours`, `events`) is always told.

use std::ops::Range;

use arrow::datatypes::Date32Type;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::Serialize;

use super::directory::Region;
use super::measures::{Days, MARKET, Measure, WEATHER};
use super::request::Window;
use super::store::LatestHour;
use crate::QueryError;

/// `data` of a summary.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    region: &'a Region,
    window: Span,
    weather: Option<Weather>,
    market: Option<Market<'a>>,
    /// Why a part is null; absent when none is.
    #[serde(skip_serializing_if = "Missing::nothing")]
    missing: Missing,
}

#[derive(Serialize)]
struct Missing {
    #[serde(skip_serializing_if = "Option::is_none")]
    weather: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    market: Option<&'static str>,
}

impl Missing {
    fn nothing(&self) -> bool {
        self.weather.is_none() && self.market.is_none()
    }
}

/// Local days `[from, to)`; null ends where there is no data to end at.
#[derive(Clone, Copy, Serialize)]
struct Span {
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    days: u16,
}

#[derive(Serialize)]
struct Units {
    air_temperature: &'static str,
    precipitation: &'static str,
    wind_speed: &'static str,
    relative_humidity: &'static str,
}

const UNITS: Units =
    Units { air_temperature: "degC", precipitation: "mm", wind_speed: "m/s", relative_humidity: "%" };

#[derive(Serialize)]
struct Weather {
    units: Units,
    latest: WeatherDay,
    window: WeatherWindow,
    now: Option<Now>,
}

#[derive(Serialize)]
struct WeatherDay {
    day: Option<NaiveDate>,
    hours: Option<i64>,
    #[serde(flatten)]
    values: WeatherValues,
}

#[derive(Serialize)]
struct WeatherWindow {
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    days: usize,
    hours: Option<i64>,
    #[serde(flatten)]
    values: WeatherValues,
}

#[derive(Serialize)]
struct WeatherValues {
    air_temperature_mean: Option<f64>,
    air_temperature_min: Option<f64>,
    air_temperature_max: Option<f64>,
    precipitation_sum: Option<f64>,
    wind_speed_mean: Option<f64>,
    relative_humidity_mean: Option<f64>,
}

#[derive(Serialize)]
struct Now {
    time: String,
    air_temperature: Option<f64>,
}

#[derive(Serialize)]
struct Market<'a> {
    currency: &'a str,
    latest: MarketDay,
    window: MarketWindow,
}

#[derive(Serialize)]
struct MarketDay {
    day: Option<NaiveDate>,
    events: Option<i64>,
    price_mean: Option<f64>,
    price_close: Option<f64>,
    interest_mean: Option<f64>,
}

#[derive(Serialize)]
struct MarketWindow {
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    days: usize,
    events: Option<i64>,
    price_mean: Option<f64>,
    interest_mean: Option<f64>,
}

/// What a summary is made of: all of one moment.
pub(super) struct Parts<'a> {
    pub region: &'a Region,
    pub weather: Option<&'a Days>,
    pub hour: Option<LatestHour>,
    pub market: Option<&'a Days>,
    pub currency: &'a str,
    pub window: Window,
}

/// Puts a summary together. Errors: internal, where the rows lack a column.
pub(super) fn summary(parts: Parts<'_>) -> Result<Summary<'_>, QueryError> {
    let weather = parts.weather.map(|days| weather(days, parts.window, parts.hour)).transpose()?.flatten();
    let market = parts.market.map(|days| market(days, parts.window, parts.currency)).transpose()?.flatten();
    let ends = weather
        .as_ref()
        .map(|w| (w.window.from, w.window.to))
        .or(market.as_ref().map(|m| (m.window.from, m.window.to)));
    let (from, to) = ends.unwrap_or_default();
    let missing = Missing {
        weather: weather
            .is_none()
            .then(|| why(parts.region, "no day of weather has arrived for this region yet")),
        market: market.is_none().then_some("no day of market data has arrived for this region yet"),
    };
    Ok(Summary {
        region: parts.region,
        window: Span { from, to, days: parts.window.length() },
        weather,
        market,
        missing,
    })
}

fn why(region: &Region, otherwise: &'static str) -> &'static str {
    match region.pending() {
        true => "the region is pending: its point is not known yet, so no weather can be asked for",
        false => otherwise,
    }
}

/// The latest row with data, and the rows of the window that ends there.
struct Found {
    latest: usize,
    from: i32,
    to: i32,
    rows: Range<usize>,
}

fn find(days: &Days, measures: &[Measure], window: Window) -> Result<Option<Found>, QueryError> {
    let Some(latest) = days.latest(measures)? else {
        return Ok(None);
    };
    let to = days.day()?.value(latest) + 1;
    let from = to - i32::from(window.length());
    Ok(Some(Found { latest, from, to, rows: days.span(from, to)? }))
}

fn date(days: i32) -> Option<NaiveDate> {
    Date32Type::to_naive_date_opt(days)
}

fn weather(days: &Days, window: Window, hour: Option<LatestHour>) -> Result<Option<Weather>, QueryError> {
    let Some(found) = find(days, &WEATHER, window)? else {
        return Ok(None);
    };
    let last = found.latest..found.latest + 1;
    let latest = WeatherDay {
        day: date(found.to - 1),
        hours: days.total("hours", last.clone())?,
        values: weather_values(days, last)?,
    };
    let window = WeatherWindow {
        from: date(found.from),
        to: date(found.to),
        days: found.rows.len(),
        hours: days.total("hours", found.rows.clone())?,
        values: weather_values(days, found.rows)?,
    };
    Ok(Some(Weather { units: UNITS, latest, window, now: hour.map(now) }))
}

fn weather_values(days: &Days, rows: Range<usize>) -> Result<WeatherValues, QueryError> {
    let [mean, min, max, precipitation, wind, humidity, _hours] = WEATHER;
    Ok(WeatherValues {
        air_temperature_mean: days.fold(mean, rows.clone())?,
        air_temperature_min: days.fold(min, rows.clone())?,
        air_temperature_max: days.fold(max, rows.clone())?,
        precipitation_sum: days.fold(precipitation, rows.clone())?,
        wind_speed_mean: days.fold(wind, rows.clone())?,
        relative_humidity_mean: days.fold(humidity, rows)?,
    })
}

fn now(hour: LatestHour) -> Now {
    Now { time: rfc3339(hour.time), air_temperature: hour.air_temperature }
}

/// An instant as answers write it.
pub(super) fn rfc3339(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn market<'a>(days: &Days, window: Window, currency: &'a str) -> Result<Option<Market<'a>>, QueryError> {
    let Some(found) = find(days, &MARKET, window)? else {
        return Ok(None);
    };
    let [.., close, mean, interest, _events] = MARKET;
    let last = found.latest..found.latest + 1;
    let latest = MarketDay {
        day: date(found.to - 1),
        events: days.total("events", last.clone())?,
        price_mean: days.fold(mean, last.clone())?,
        price_close: days.fold(close, last.clone())?,
        interest_mean: days.fold(interest, last)?,
    };
    let window = MarketWindow {
        from: date(found.from),
        to: date(found.to),
        days: found.rows.len(),
        events: days.total("events", found.rows.clone())?,
        price_mean: days.fold(mean, found.rows.clone())?,
        interest_mean: days.fold(interest, found.rows)?,
    };
    Ok(Some(Market { currency, latest, window }))
}
