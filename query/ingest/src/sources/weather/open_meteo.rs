//! Open-Meteo's request and answer format, which other services speak too.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeDelta};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::answer::{self, Told, Values};
use super::units::{Conversion, Quantity};
use crate::sources::SourceError;

/// The part of an answer about one place.
#[derive(Debug, Deserialize)]
struct Answer {
    /// The offset of its times from UTC.
    #[serde(default)]
    utc_offset_seconds: i32,
    hourly_units: Units,
    hourly: Option<Hourly>,
    daily_units: Units,
    daily: Option<Daily>,
}

/// Values hour by hour. A variable that was not asked for has no list.
#[derive(Debug, Deserialize)]
struct Hourly {
    time: Vec<Time>,
    temperature_2m: Option<Values>,
    precipitation: Option<Values>,
    wind_speed_10m: Option<Values>,
    relative_humidity_2m: Option<Values>,
}

/// Values day by day; the days are local ones of the zone that was asked for.
#[derive(Debug, Deserialize)]
struct Daily {
    time: Vec<Time>,
    temperature_2m_mean: Option<Values>,
    temperature_2m_min: Option<Values>,
    temperature_2m_max: Option<Values>,
    precipitation_sum: Option<Values>,
    wind_speed_10m_mean: Option<Values>,
    relative_humidity_2m_mean: Option<Values>,
}

type Units = Option<BTreeMap<String, String>>;

/// A point in time as the answer writes it: `2026-11-20`, `2026-11-20T14:00`, or seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time(NaiveDateTime);

/// All places of an answer: an object for one, an array for several.
/// - Errors: [`SourceError::Refused`] for anything else, with the service's own reason where it gives one; for an unknown unit, a
///   missing list, or lists of different lengths.
pub fn read(bytes: &[u8]) -> Result<Vec<answer::Answer>, SourceError> {
    parse(bytes)?.into_iter().map(Answer::told).collect()
}

fn parse(bytes: &[u8]) -> Result<Vec<Answer>, SourceError> {
    let wrong = |e: serde_json::Error| SourceError::refused(format!("no weather answer: {e}"));
    if let Some(reason) = reason(bytes) {
        return Err(SourceError::refused(reason));
    }
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'[') => serde_json::from_slice(bytes).map_err(wrong),
        _ => Ok(vec![serde_json::from_slice(bytes).map_err(wrong)?]),
    }
}

impl Answer {
    fn told(self) -> Result<answer::Answer, SourceError> {
        let offset = TimeDelta::seconds(self.utc_offset_seconds.into());
        let hours = |hourly: Hourly| -> Result<_, SourceError> {
            let values = hourly.columns(&self.hourly_units)?;
            let utc = |time: &Time| time.0.and_utc().checked_sub_signed(offset);
            let times: Option<Vec<_>> = hourly.time.iter().map(utc).collect();
            let beyond = || SourceError::refused("the answer speaks of a time outside of the calendar");
            Ok(Told { times: times.ok_or_else(beyond)?, values })
        };
        let days = |daily: Daily| -> Result<_, SourceError> {
            let values = daily.columns(&self.daily_units)?;
            Ok(Told { times: daily.time.iter().map(|time| time.0.date()).collect(), values })
        };
        let (hours, days) = (self.hourly.map(hours).transpose()?, self.daily.map(days).transpose()?);
        Ok(answer::Answer { hours, days })
    }
}

/// The reason in an error of the service: `{"error": true, "reason": "…"}`.
pub fn reason(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Failed {
        error: bool,
        reason: String,
    }
    // An error is short; a whole answer need not be read twice to know that it is none.
    (bytes.len() < 4_096)
        .then(|| serde_json::from_slice::<Failed>(bytes).ok())
        .flatten()
        .filter(|f| f.error)
        .map(|f| f.reason)
}

impl Hourly {
    fn columns(&self, units: &Units) -> Result<[Values; 4], SourceError> {
        let n = self.time.len();
        Ok([
            column(units, "temperature_2m", Quantity::Temperature, &self.temperature_2m, n)?,
            column(units, "precipitation", Quantity::Length, &self.precipitation, n)?,
            column(units, "wind_speed_10m", Quantity::Speed, &self.wind_speed_10m, n)?,
            column(units, "relative_humidity_2m", Quantity::Share, &self.relative_humidity_2m, n)?,
        ])
    }
}

impl Daily {
    fn columns(&self, units: &Units) -> Result<[Values; 6], SourceError> {
        use Quantity::{Length, Share, Speed, Temperature};
        let n = self.time.len();
        Ok([
            column(units, "temperature_2m_mean", Temperature, &self.temperature_2m_mean, n)?,
            column(units, "temperature_2m_min", Temperature, &self.temperature_2m_min, n)?,
            column(units, "temperature_2m_max", Temperature, &self.temperature_2m_max, n)?,
            column(units, "precipitation_sum", Length, &self.precipitation_sum, n)?,
            column(units, "wind_speed_10m_mean", Speed, &self.wind_speed_10m_mean, n)?,
            column(units, "relative_humidity_2m_mean", Share, &self.relative_humidity_2m_mean, n)?,
        ])
    }
}

fn column(
    units: &Units,
    name: &str,
    quantity: Quantity,
    values: &Option<Values>,
    n: usize,
) -> Result<Values, SourceError> {
    // Every variable is asked for by name: where one is missing, the service has changed its words.
    let values =
        values.as_ref().ok_or_else(|| SourceError::refused(format!("the answer has no `{name}`")))?;
    if values.len() != n {
        return Err(SourceError::refused(format!("`{name}` has {} values for {n} times", values.len())));
    }
    // A list without a single value needs no unit, and services leave it out or write "undefined" then.
    if values.iter().all(Option::is_none) {
        return Ok(values.clone());
    }
    let unit = units.as_ref().and_then(|u| u.get(name));
    let unit = unit.ok_or_else(|| SourceError::refused(format!("no unit is declared for `{name}`")))?;
    let conversion: Conversion = quantity.in_unit(unit)?;
    Ok(values.iter().map(|v| v.map(|v| conversion.apply(v))).collect())
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a day, an hour, or seconds since 1970")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
        let day = || text.parse().ok().map(|day: chrono::NaiveDate| day.and_time(NaiveTime::MIN));
        let hour = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok();
        let time = if text.len() == 10 { day() } else { hour().or_else(|| text.parse().ok()) };
        time.map(Time).ok_or_else(|| E::custom(format!("`{text}` is no time")))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Time, E> {
        let time = DateTime::from_timestamp(seconds, 0).map(|t| Time(t.naive_utc()));
        time.ok_or_else(|| E::custom(format!("{seconds} is no time")))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Time, E> {
        self.visit_i64(i64::try_from(seconds).map_err(E::custom)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"latitude": 40.7, "longitude": -73.9, "utc_offset_seconds": 0, "generationtime_ms": 0.1,
        "hourly_units": {"time": "iso8601", "temperature_2m": "°F", "wind_speed_10m": "mp/h", "precipitation": "inch"},
        "hourly": {"time": ["2013-01-01T06:00", "2013-01-01T07:00"], "temperature_2m": [32.0, null],
                   "wind_speed_10m": [10.0, 20.0], "precipitation": [1.0, 0.0], "relative_humidity_2m": [null, null], "surface_pressure": [1, 2]}}"#;

    #[test]
    fn values_come_in_the_units_the_answer_declares() {
        let hours = read(ONE.as_bytes()).unwrap().remove(0).hours.unwrap();
        let [temperature, precipitation, wind, humidity] = hours.values;
        assert!(temperature[0].unwrap().abs() < 1e-12 && temperature[1].is_none());
        assert_eq!(precipitation, [Some(25.4), Some(0.0)]);
        assert!((wind[0].unwrap() - 4.4704).abs() < 1e-12);
        assert_eq!(humidity, [None, None]);
        assert_eq!(hours.times[1].to_rfc3339(), "2013-01-01T07:00:00+00:00");
        let elsewhere = ONE.replace("\"utc_offset_seconds\": 0", "\"utc_offset_seconds\": -18000");
        let hours = read(elsewhere.as_bytes()).unwrap().remove(0).hours.unwrap();
        assert_eq!(hours.times[1].to_rfc3339(), "2013-01-01T12:00:00+00:00");
    }

    #[test]
    fn several_places_are_an_array() {
        assert_eq!(read(format!(" [{ONE}, {ONE}]").as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for wrong in [
            ONE.replace("inch", "cubit"),
            ONE.replace("[32.0, null]", "[32.0]"),
            ONE.replace("wind_speed_10m", "wind"),
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        for text in
            ["", "12", r#"{"error": true, "reason": "Out of range"}"#, r#"{"hourly": {"time": ["noon"]}}"#]
        {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
