//! A weather archive on loopback that has every hour and every day of every place, in Open-Meteo's format. Its numbers are
//! drawn from place and time, and cheap to write: it must not be what a bench measures.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::routing::get;
use chrono::{Days, NaiveDate, NaiveTime, TimeDelta};

use crate::stub::serve;

const HOURLY: [&str; 4] = ["temperature_2m", "relative_humidity_2m", "precipitation", "wind_speed_10m"];
const DAILY: [&str; 6] = [
    "temperature_2m_mean",
    "temperature_2m_min",
    "temperature_2m_max",
    "precipitation_sum",
    "wind_speed_10m_mean",
    "relative_humidity_2m_mean",
];

/// The running service; it serves until the process ends.
pub struct ArchiveStub {
    pub url: String,
}

impl ArchiveStub {
    /// Serves on a thread of its own.
    /// Errors: no port or no thread is to be had.
    pub fn start() -> std::io::Result<Self> {
        Ok(Self { url: serve(Router::new().route("/v1/archive", get(answer)))? })
    }
}

async fn answer(Query(query): Query<HashMap<String, String>>) -> Result<String, StatusCode> {
    let day = |name: &str| query.get(name).and_then(|text| text.parse::<NaiveDate>().ok());
    let days = day("start_date").zip(day("end_date")).ok_or(StatusCode::BAD_REQUEST)?;
    let numbers = |name: &str| query.get(name).map(String::as_str).unwrap_or_default().split(',');
    let places = numbers("latitude").zip(numbers("longitude"));
    let hourly = query.contains_key("hourly");
    let answers: Vec<String> = places.map(|place| about(place, days.0..=days.1, hourly)).collect();
    Ok(if answers.len() == 1 { answers.concat() } else { format!("[{}]", answers.join(",")) })
}

fn about((lat, lon): (&str, &str), days: RangeInclusive<NaiveDate>, hourly: bool) -> String {
    let (grain, names, step) = if hourly { ("hourly", &HOURLY[..], 1) } else { ("daily", &DAILY[..], 24) };
    let hours = hours(days, step);
    let mut text =
        format!("{{\"latitude\":{lat},\"longitude\":{lon},\"utc_offset_seconds\":0,\"{grain}_units\":{{");
    let units = names.iter().map(|name| format!("\"{name}\":\"{}\"", unit(name)));
    text += &units.collect::<Vec<_>>().join(",");
    let _ =
        write!(text, "}},\"{grain}\":{{\"time\":[{}]", list(&hours, |text, hour| time(text, *hour, hourly)));
    for (n, name) in names.iter().enumerate() {
        let seed =
            mix(lat.len() as u64
                ^ lat.bytes().chain(lon.bytes()).fold(n as u64, |a, b| mix(a ^ u64::from(b))));
        let value = |text: &mut String, hour: &i64| {
            let tenths = value(name, mix(seed ^ hour.cast_unsigned()));
            let _ = write!(
                text,
                "{}{}.{}",
                if tenths < 0 { "-" } else { "" },
                tenths.abs() / 10,
                tenths.abs() % 10
            );
        };
        let _ = write!(text, ",\"{name}\":[{}]", list(&hours, value));
    }
    text + "}}"
}

/// The days' hours since 1970, every one or the first of each day.
fn hours(days: RangeInclusive<NaiveDate>, step: usize) -> Vec<i64> {
    let hour = |day: &NaiveDate| day.and_time(NaiveTime::MIN).and_utc().timestamp() / 3_600;
    (hour(days.start())..hour(&(*days.end() + Days::new(1)))).step_by(step).collect()
}

fn list(hours: &[i64], write: impl Fn(&mut String, &i64)) -> String {
    let mut text = String::with_capacity(hours.len() * 8);
    for (n, hour) in hours.iter().enumerate() {
        text += if n > 0 { "," } else { "" };
        write(&mut text, hour);
    }
    text
}

fn time(text: &mut String, hour: i64, hourly: bool) {
    let at = chrono::DateTime::UNIX_EPOCH + TimeDelta::hours(hour);
    let _ = match hourly {
        true => write!(text, "\"{}T{:02}:00\"", at.date_naive(), hour.rem_euclid(24)),
        false => write!(text, "\"{}\"", at.date_naive()),
    };
}

fn unit(name: &str) -> &'static str {
    match name {
        name if name.starts_with("temperature") => "°C",
        name if name.starts_with("relative") => "%",
        name if name.starts_with("wind") => "km/h",
        _ => "mm",
    }
}

/// Tenths of the unit.
fn value(name: &str, random: u64) -> i64 {
    let within = |most: u64| (random % most).cast_signed();
    match name {
        name if name.starts_with("temperature") => within(400) - 100,
        name if name.starts_with("relative") => 200 + within(800),
        name if name.starts_with("wind") => within(600),
        // Four hours of five are dry.
        _ => (within(100) - 80).max(0),
    }
}

/// The finisher of SplitMix64.
const fn mix(seed: u64) -> u64 {
    let a = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    b ^ (b >> 31)
}
