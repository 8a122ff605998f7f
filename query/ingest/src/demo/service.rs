//! The weather service of the demo: Open-Meteo's format over the simulated world.

use std::collections::HashMap;
use std::fmt::Write as _;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::world::{Site, World, minute, mix, unit};

/// The JSON of one call (path and query), or why there is none.
pub fn body(world: &World, target: &str, now: DateTime<Utc>) -> Result<String, String> {
    let url = url::Url::parse(&format!("http://x{target}")).map_err(|e| e.to_string())?;
    let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
    let list = |name: &str| -> Result<Vec<f64>, String> {
        let text = query.get(name).ok_or_else(|| format!("Parameter {name} is missing"))?;
        text.split(',').map(|v| v.parse().map_err(|_| format!("{name} is no number"))).collect()
    };
    let (lats, lons) = (list("latitude")?, list("longitude")?);
    if lats.len() != lons.len() {
        return Err("latitude and longitude differ in number".into());
    }
    let sites: Vec<Site> = lons.iter().zip(&lats).map(|(lon, lat)| world.at(*lon, *lat)).collect();
    let (start, end) = (date(&query, "start_date")?, date(&query, "end_date")?);
    let answers: Vec<String> = match (query.contains_key("daily"), start, end) {
        (true, Some(from), Some(to)) => sites.iter().map(|s| daily(s, from, to)).collect(),
        (false, Some(from), Some(to)) => sites.iter().map(|s| hourly(s, from, to, None)).collect(),
        (false, None, None) => {
            let days = query.get("forecast_days").and_then(|d| d.parse().ok()).unwrap_or(7_u64).clamp(1, 16);
            let (from, to) = (now.date_naive(), now.date_naive() + Days::new(days - 1));
            sites.iter().map(|s| hourly(s, from, to, Some(now))).collect()
        }
        _ => return Err("start_date and end_date come together".into()),
    };
    Ok(if answers.len() == 1 { answers.concat() } else { format!("[{}]", answers.join(",")) })
}

fn date(query: &HashMap<String, String>, name: &str) -> Result<Option<NaiveDate>, String> {
    let parse = |text: &String| text.parse().map_err(|_| format!("{name} is no day"));
    query.get(name).map(parse).transpose()
}

fn place(site: &Site) -> String {
    format!(
        "\"latitude\":{},\"longitude\":{},\"elevation\":0.0,\"generationtime_ms\":0.1",
        site.lat, site.lon
    )
}

/// Hours of whole UTC days. Those of a forecast stray from what will be, the more the further they lie ahead.
fn hourly(site: &Site, from: NaiveDate, to: NaiveDate, issued: Option<DateTime<Utc>>) -> String {
    let start = from.and_time(NaiveTime::MIN).and_utc();
    let count = ((to - from).num_days() + 1).max(0) * 24;
    let times: Vec<DateTime<Utc>> = (0..count).map(|h| start + TimeDelta::hours(h)).collect();
    let stray = |time: &DateTime<Utc>| issued.map_or(0.0, |issued| error(site, issued, *time));
    let weather: Vec<_> = times.iter().map(|t| (site.weather(*t), stray(t))).collect();
    format!(
        "{{{},\"utc_offset_seconds\":0,\"timezone\":\"GMT\",\"timezone_abbreviation\":\"GMT\",\"hourly_units\":\
         {{\"time\":\"iso8601\",\"temperature_2m\":\"°C\",\"relative_humidity_2m\":\"%\",\"precipitation\":\"mm\",\
         \"wind_speed_10m\":\"km/h\"}},\"hourly\":{{\"time\":[{}],\"temperature_2m\":[{}],\"relative_humidity_2m\":[{}],\
         \"precipitation\":[{}],\"wind_speed_10m\":[{}]}}}}",
        place(site),
        join(&times, |out, t| write!(out, "\"{}\"", t.format("%Y-%m-%dT%H:%M"))),
        join(&weather, |out, (w, e)| write!(out, "{:.1}", w.temperature + e)),
        join(&weather, |out, (w, e)| write!(out, "{:.0}", (w.humidity + 3.0 * e).clamp(5.0, 100.0))),
        join(&weather, |out, (w, e)| write!(out, "{:.1}", (w.precipitation * (1.0 + e / 8.0)).max(0.0))),
        join(&weather, |out, (w, e)| write!(out, "{:.1}", (w.wind * 3.6 * (1.0 + e / 12.0)).max(0.0))),
    )
}

/// How far a forecast is off, in degrees: another number at each issue, growing by a degree in three days.
fn error(site: &Site, issued: DateTime<Utc>, time: DateTime<Utc>) -> f64 {
    let ahead = (time - issued).num_hours().max(0) as f64 / 72.0;
    let seed = mix(minute(issued), (site.lon.to_bits() ^ site.lat.to_bits()).rotate_left(7));
    (2.0 * unit(mix(seed, time.timestamp() as u64)) - 1.0) * ahead
}

/// Local days of a place, each from eight of its hours.
fn daily(site: &Site, from: NaiveDate, to: NaiveDate) -> String {
    let days: Vec<NaiveDate> = from.iter_days().take_while(|d| *d <= to).collect();
    let values: Vec<[f64; 6]> = days.iter().map(|d| day_values(site, *d)).collect();
    let column = |i: usize, digits: usize| join(&values, |out, v| write!(out, "{:.*}", digits, v[i]));
    format!(
        "{{{},\"timezone\":\"{}\",\"daily_units\":{{\"time\":\"iso8601\",\"temperature_2m_mean\":\"°C\",\
         \"temperature_2m_min\":\"°C\",\"temperature_2m_max\":\"°C\",\"precipitation_sum\":\"mm\",\"wind_speed_10m_mean\":\
         \"km/h\",\"relative_humidity_2m_mean\":\"%\"}},\"daily\":{{\"time\":[{}],\"temperature_2m_mean\":[{}],\
         \"temperature_2m_min\":[{}],\"temperature_2m_max\":[{}],\"precipitation_sum\":[{}],\"wind_speed_10m_mean\":[{}],\
         \"relative_humidity_2m_mean\":[{}]}}}}",
        place(site),
        site.zone,
        join(&days, |out, d| write!(out, "\"{d}\"")),
        column(0, 1),
        column(1, 1),
        column(2, 1),
        column(3, 1),
        column(4, 1),
        column(5, 0),
    )
}

fn day_values(site: &Site, day: NaiveDate) -> [f64; 6] {
    let midnight = site.local(day, 0);
    let samples = (0..8).map(|n| site.weather(midnight + TimeDelta::hours(3 * n)));
    let (mut sum, mut low, mut high) = ([0.0; 4], f64::MAX, f64::MIN);
    for sample in samples {
        let values = [sample.temperature, sample.precipitation, sample.wind, sample.humidity];
        sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
        (low, high) = (low.min(sample.temperature), high.max(sample.temperature));
    }
    let [temperature, rain, wind, humidity] = sum.map(|s| s / 8.0);
    [temperature, low, high, rain * 24.0, wind * 3.6, humidity]
}

fn join<T>(values: &[T], write: impl Fn(&mut String, &T) -> std::fmt::Result) -> String {
    let mut text = String::with_capacity(values.len() * 8);
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        // Writing into a String cannot fail.
        let _ = write(&mut text, value);
    }
    text
}
