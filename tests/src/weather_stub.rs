//! A weather service on loopback that speaks the Open-Meteo request and answer format and replays real hours.
//!
//! It answers in the units of the file it replays (°F, mp/h, inch) and says so in `hourly_units`: a client that
//! does not convert by what the answer declares gives wrong tables.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::stub::serve;

/// One hour as the file has it: °F, inch, mph, %.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hour {
    pub temperature_f: Option<f64>,
    pub precipitation_inch: Option<f64>,
    pub wind_mph: Option<f64>,
    pub humidity: Option<f64>,
}

/// A place of the file and its hours by UTC instant.
#[derive(Clone, Debug)]
pub struct Station {
    pub name: String,
    pub lat: f64,
    pub lon: f64,
    pub hours: BTreeMap<DateTime<Utc>, Hour>,
}

/// Stations read from a CSV with the columns of `nyc-weather-hourly.csv`.
/// Errors: the file is unreadable or a value is no number.
pub fn read_stations(
    path: &Path,
    places: &[(&str, f64, f64)],
) -> Result<Vec<Station>, Box<dyn std::error::Error>> {
    let mut stations: Vec<Station> = places
        .iter()
        .map(|&(name, lat, lon)| Station { name: name.into(), lat, lon, hours: BTreeMap::new() })
        .collect();
    let mut reader = csv::Reader::from_path(path)?;
    for row in reader.deserialize() {
        let row: HashMap<String, String> = row?;
        let number = |column: &str| row[column].parse::<f64>().ok();
        let hour = Hour {
            temperature_f: number("temp"),
            precipitation_inch: number("precip"),
            wind_mph: number("wind_speed"),
            humidity: number("humid"),
        };
        if let Some(station) = stations.iter_mut().find(|s| s.name == row["origin"]) {
            station.hours.insert(row["time_hour"].parse()?, hour);
        }
    }
    Ok(stations)
}

/// The running service.
pub struct WeatherStub {
    pub url: String,
    requests: Arc<Served>,
}

struct Served {
    stations: Vec<Station>,
    count: AtomicUsize,
    /// The queries that were answered, as they came.
    asked: Mutex<Vec<String>>,
    /// How long an answer takes.
    pause: Duration,
    /// Whether hours to come are like past ones.
    ahead: bool,
}

type Parameters = Query<HashMap<String, String>>;
type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

impl WeatherStub {
    /// Serves these stations on a thread of its own until the test process ends.
    /// Errors: no port or no thread is to be had.
    pub fn start(stations: Vec<Station>) -> std::io::Result<Self> {
        Self::start_slow(stations, Duration::ZERO)
    }

    /// The same, each answer after a pause.
    pub fn start_slow(stations: Vec<Station>, pause: Duration) -> std::io::Result<Self> {
        Self::start_as(stations, pause, false)
    }

    /// The same, with forecasts: an hour to come is like that hour of one of the file's first ten days, whoever asks
    /// and whenever. Without them the service names the hours and has what the file has of them.
    pub fn start_foreseeing(stations: Vec<Station>, pause: Duration) -> std::io::Result<Self> {
        Self::start_as(stations, pause, true)
    }

    fn start_as(stations: Vec<Station>, pause: Duration, ahead: bool) -> std::io::Result<Self> {
        let (count, asked) = (AtomicUsize::new(0), Mutex::default());
        let served = Arc::new(Served { stations, count, asked, pause, ahead });
        let router = Router::new()
            .route("/v1/forecast", get(answer))
            .route("/v1/archive", get(answer))
            .with_state(served.clone());
        Ok(Self { url: serve(router)?, requests: served })
    }

    /// The queries that were answered, as they came.
    pub fn asked(&self) -> Vec<String> {
        self.requests.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }

    /// How many requests were answered.
    pub fn count(&self) -> usize {
        self.requests.count.load(Ordering::Relaxed)
    }
}

async fn answer(
    State(served): State<Arc<Served>>,
    RawQuery(query): RawQuery,
    Query(parameters): Parameters,
) -> Answer {
    tokio::time::sleep(served.pause).await;
    served.count.fetch_add(1, Ordering::Relaxed);
    if let Ok(mut asked) = served.asked.lock() {
        asked.push(query.unwrap_or_default());
    }
    let list = |name: &str| -> Vec<f64> {
        parameters.get(name).map(String::as_str).unwrap_or_default().split(',').flat_map(str::parse).collect()
    };
    let points: Vec<_> = list("latitude").into_iter().zip(list("longitude")).collect();
    let answers: Option<Vec<Value>> = points
        .iter()
        .map(|&(lat, lon)| Some(place(nearest(&served.stations, lat, lon)?, &parameters, served.ahead)))
        .collect();
    match answers {
        Some(mut one) if one.len() == 1 => Ok(Json(one.remove(0))),
        Some(many) if !many.is_empty() => Ok(Json(Value::Array(many))),
        _ => Err((StatusCode::BAD_REQUEST, Json(json!({"error": true, "reason": "no such place"})))),
    }
}

fn nearest(stations: &[Station], lat: f64, lon: f64) -> Option<&Station> {
    stations.iter().find(|s| (s.lat - lat).abs() < 0.01 && (s.lon - lon).abs() < 0.01)
}

/// One place's answer: the hours of `[start_date, end_date]`, or of the days to come; null where there is none.
fn place(station: &Station, parameters: &HashMap<String, String>, ahead: bool) -> Value {
    let days = parameters.get("forecast_days").and_then(|days| days.parse().ok());
    let times = days.map_or_else(|| period(station, parameters), days_to_come);
    let hour = |time: &DateTime<Utc>| match days {
        Some(_) if ahead => foreseen(station, *time),
        _ => station.hours.get(time).copied(),
    };
    let mut body = json!({
        "latitude": station.lat, "longitude": station.lon, "utc_offset_seconds": 0, "timezone": "GMT",
        "hourly_units": {"time": "iso8601", "temperature_2m": "°F", "precipitation": "inch",
                         "wind_speed_10m": "mp/h", "relative_humidity_2m": "%"},
    });
    if parameters.contains_key("hourly") {
        let column = |pick: fn(&Hour) -> Option<f64>| -> Vec<Option<f64>> {
            times.iter().map(|t| hour(t).as_ref().and_then(pick)).collect()
        };
        body["hourly"] = json!({
            "time": times.iter().map(|t| t.format("%Y-%m-%dT%H:%M").to_string()).collect::<Vec<_>>(),
            "temperature_2m": column(|h| h.temperature_f), "precipitation": column(|h| h.precipitation_inch),
            "wind_speed_10m": column(|h| h.wind_mph), "relative_humidity_2m": column(|h| h.humidity),
        });
    }
    if let Some(names) = parameters.get("daily") {
        add_daily(&mut body, names, &times);
    }
    body
}

/// The days asked for, every value null: this archive has hours alone.
fn add_daily(body: &mut Value, names: &str, times: &[DateTime<Utc>]) {
    let days: std::collections::BTreeSet<_> = times.iter().map(|t| t.date_naive().to_string()).collect();
    let unit = |name: &str| match name {
        n if n.starts_with("temperature") => "°F",
        n if n.starts_with("precipitation") => "inch",
        n if n.starts_with("wind") => "mp/h",
        _ => "%",
    };
    body["daily_units"] = json!({"time": "iso8601"});
    body["daily"] = json!({ "time": days });
    for name in names.split(',') {
        body["daily_units"][name] = json!(unit(name));
        body["daily"][name] = json!(vec![Value::Null; days.len()]);
    }
}

/// The hours from today's midnight on.
fn days_to_come(days: i64) -> Vec<DateTime<Utc>> {
    let start = Utc::now().date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    (0..days * 24).map(|n| start + TimeDelta::hours(n)).collect()
}

/// What is said of an hour.
fn foreseen(station: &Station, time: DateTime<Utc>) -> Option<Hour> {
    let first = station.hours.keys().next()?.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    let into = (time - first).num_hours().rem_euclid(10 * 24);
    station.hours.get(&(first + TimeDelta::hours(into))).copied()
}

fn period(station: &Station, parameters: &HashMap<String, String>) -> Vec<DateTime<Utc>> {
    let date = |name: &str| parameters.get(name).and_then(|v| v.parse::<NaiveDate>().ok());
    let last = station.hours.keys().next_back().map_or_else(NaiveDate::default, |t| t.date_naive());
    let from = date("start_date").unwrap_or(last);
    let to = date("end_date").unwrap_or(last);
    let start = from.and_time(chrono::NaiveTime::MIN).and_utc();
    let hours = (to - from).num_hours() + 24;
    (0..hours).map(|n| start + TimeDelta::hours(n)).collect()
}
