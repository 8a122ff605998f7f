//! The daily weather of three real places equals a computation by hand from the same file: units, `NA`, missing
//! hours and both changes of the clock included.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

use super::testing::{TestLake, at, lake, query};
use super::weather::Grain;
use crate::testing::shared_data;

const REGIONS: &str = "region_id,name,country,lon,lat,population\n\
    us-ewr,Newark,US,-74.1687,40.6925,1\nus-jfk,Kennedy,US,-73.7789,40.6398,1\nus-lga,La Guardia,US,-73.8726,40.7772,1\n";
const ORIGINS: [(&str, &str, &str); 3] =
    [("EWR", "us-ewr", "40.6925"), ("JFK", "us-jfk", "40.6398"), ("LGA", "us-lga", "40.7772")];

/// °F, inch, mph, %, as the file has them.
type Hour = [Option<f64>; 4];
type Hours = BTreeMap<(String, DateTime<Utc>), Hour>;

fn read(text: &[u8]) -> Hours {
    let mut hours = Hours::new();
    for row in csv::Reader::from_reader(text).deserialize() {
        let row: BTreeMap<String, String> = row.unwrap();
        let value = |name: &str| row[name].parse().ok();
        let key = (row["origin"].clone(), row["time_hour"].parse().unwrap());
        hours.insert(key, ["temp", "precip", "wind_speed", "humid"].map(value));
    }
    hours
}

/// A service that replays the file in its own units; days it does not know are null.
fn answer(hours: &Hours, target: &str) -> Result<String, String> {
    let query = query(target);
    let day = |name: &str| -> NaiveDate { query[name].parse().unwrap() };
    let (from, to) = (day("start_date"), day("end_date"));
    let places = query["latitude"].split(',').map(|lat| ORIGINS.iter().find(|o| o.2 == lat).unwrap().0);
    let answers: Vec<Value> = places
        .map(|origin| {
            if query.contains_key("daily") {
                let days: Vec<String> = from.iter_days().take_while(|d| *d <= to).map(|d| d.to_string()).collect();
                let mut daily: serde_json::Map<String, Value> =
                    query["daily"].split(',').map(|name| (name.to_string(), json!(vec![Value::Null; days.len()]))).collect();
                daily.insert("time".into(), json!(days));
                return json!({"daily_units": {}, "daily": daily});
            }
            let start = from.and_hms_opt(0, 0, 0).unwrap().and_utc();
            let times: Vec<_> = (0..(to - from).num_hours() + 24).map(|h| start + TimeDelta::hours(h)).collect();
            let column = |i: usize| -> Vec<Option<f64>> {
                times.iter().map(|t| hours.get(&(origin.to_string(), *t)).and_then(|h| h[i])).collect()
            };
            json!({
                "utc_offset_seconds": 0,
                "hourly_units": {"temperature_2m": "°F", "precipitation": "inch", "wind_speed_10m": "mp/h", "relative_humidity_2m": "%"},
                "hourly": {"time": times.iter().map(|t| t.format("%Y-%m-%dT%H:%M").to_string()).collect::<Vec<_>>(),
                           "temperature_2m": column(0), "precipitation": column(1), "wind_speed_10m": column(2),
                           "relative_humidity_2m": column(3)}
            })
        })
        .collect();
    Ok(if answers.len() == 1 { answers[0].to_string() } else { Value::Array(answers).to_string() })
}

/// Mean, min, max °C; sum mm; mean m/s; mean %; hours.
type Day = ([Option<f64>; 6], i64);

/// By hand, without SQL: hours by the day that a clock in New York shows.
fn by_hand(hours: &Hours) -> BTreeMap<(String, NaiveDate), Day> {
    let mut days: BTreeMap<(String, NaiveDate), Vec<Hour>> = BTreeMap::new();
    for ((origin, time), hour) in hours {
        let day = time.with_timezone(&chrono_tz::America::New_York).date_naive();
        let region = ORIGINS.iter().find(|o| o.0 == origin).unwrap().1.to_string();
        days.entry((region, day)).or_default().push(*hour);
    }
    days.into_iter().map(|(key, hours)| (key, day_by_hand(&hours))).collect()
}

fn day_by_hand(hours: &[Hour]) -> Day {
    let values = |i: usize, convert: fn(f64) -> f64| -> Vec<f64> {
        hours.iter().filter_map(|h| h[i]).map(convert).collect()
    };
    let mean = |v: &[f64]| (!v.is_empty()).then(|| v.iter().sum::<f64>() / v.len() as f64);
    let celsius = values(0, |f| (f - 32.0) * 5.0 / 9.0);
    let rain = values(1, |inch| inch * 25.4);
    let low = celsius.iter().copied().reduce(f64::min);
    let high = celsius.iter().copied().reduce(f64::max);
    let wind = mean(&values(2, |mph| mph * 1_609.344 / 3_600.0));
    let sum = (!rain.is_empty()).then(|| rain.iter().sum());
    ([mean(&celsius), low, high, sum, wind, mean(&values(3, |v| v))], hours.len() as i64)
}

async fn stored(lake: &TestLake) -> BTreeMap<(String, NaiveDate), Day> {
    let rows = lake.rows("weather.daily").await;
    let regions = arrow::compute::cast(rows.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
    let mut days = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let value = |i: usize| {
            let column = rows.column(i).as_primitive::<Float64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let day = rows.column(1).as_primitive::<Date32Type>().value_as_date(row).unwrap();
        let hours = rows.column(8).as_primitive::<Int64Type>().value(row);
        let values = std::array::from_fn(|i| value(i + 2));
        days.insert((regions.as_string::<i32>().value(row).to_string(), day), (values, hours));
    }
    days
}

async fn compare(text: &[u8], from: &str, to: &str) {
    let hours = read(text);
    let served = hours.clone();
    let lake = lake(REGIONS, Arc::new(move |target: &str| answer(&served, target))).await;
    let (range, now) = ((from.parse().unwrap(), to.parse().unwrap()), at("2014-06-01T00:00:00Z"));
    let grains = [Grain::Day, Grain::Hour];
    let ran = lake.arrivals.backfill("c", range, &grains, &(), now).await.unwrap();
    assert_eq!(ran.rows, hours.len() as u64);
    let (stored, expected) = (stored(&lake).await, by_hand(&hours));
    assert_eq!(stored.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, (values, hours)) in &expected {
        let (found, n) = &stored[key];
        assert_eq!(n, hours, "{key:?}");
        for (a, b) in found.iter().zip(values) {
            let equal = match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
                (a, b) => a.is_none() && b.is_none(),
            };
            assert!(equal, "{key:?}: {found:?} is not {values:?}");
        }
    }
    // Asked again, the finished backfill has nothing to do.
    let again = lake.arrivals.backfill("c", range, &grains, &(), now).await.unwrap();
    assert_eq!((again.batches, again.rows), (0, 0));
}

#[tokio::test]
async fn a_year_of_three_airports_equals_the_computation_by_hand() {
    let Some(text) = shared_data("nyc-weather-hourly.csv") else { return };
    compare(&text, "2013-01-01", "2013-12-31").await;
}

#[tokio::test]
async fn both_changes_of_the_clock_missing_values_and_hours_come_out_right() {
    let mut text = String::from("origin,temp,precip,wind_speed,humid,time_hour\n");
    for (from, hours) in [("2013-03-09T05:00:00Z", 72_i64), ("2013-11-02T04:00:00Z", 73)] {
        for (n, origin) in (0..hours).flat_map(|n| ORIGINS.map(|o| (n, o.0))) {
            if n % 17 == 3 {
                continue; // an hour that is not there
            }
            let temp = if n % 11 == 5 { "NA".to_string() } else { format!("{}", 20 + n % 30) };
            let wind = if origin == "JFK" { "NA".to_string() } else { format!("{}.5", n % 20) };
            let time = (at(from) + TimeDelta::hours(n)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
            text += &format!("{origin},{temp},0.0{},{wind},{},{time}\n", n % 3, 40 + n % 50);
        }
    }
    compare(text.as_bytes(), "2013-03-01", "2013-11-30").await;
}
