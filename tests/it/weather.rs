//! Weather of real hours: days, windows and means equal a brute-force computation from the file itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use harness::CallFault::Renamed;
use harness::Stack::{self, Postgres, Sqlite};
use harness::{
    Customer, FaultProxy, Hour, Options, Station, TestApp, WeatherStub, project_root, shared_data,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::lakes::lake;
use crate::nyc;
use crate::shared::{app, options};

/// One local day, computed from the hours in the file's own units and then converted.
#[derive(Debug, Default)]
struct Day {
    hours: i64,
    temperature: Vec<f64>,
    precipitation: Vec<f64>,
    wind: Vec<f64>,
    humidity: Vec<f64>,
}

impl Day {
    fn add(&mut self, hour: &Hour) {
        self.hours += 1;
        self.temperature.extend(hour.temperature_f.map(|f| (f - 32.0) * 5.0 / 9.0));
        self.precipitation.extend(hour.precipitation_inch.map(|i| i * 25.4));
        self.wind.extend(hour.wind_mph.map(|w| w * 0.447_04));
        self.humidity.extend(hour.humidity);
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn extreme(values: &[f64], pick: fn(f64, f64) -> f64) -> Option<f64> {
    values.iter().copied().reduce(pick)
}

/// The station's days in the time zone of New York.
fn brute_force(station: &Station) -> BTreeMap<NaiveDate, Day> {
    let mut days: BTreeMap<NaiveDate, Day> = BTreeMap::new();
    for (time, hour) in &station.hours {
        let local = time.with_timezone(&chrono_tz::America::New_York).date_naive();
        days.entry(local).or_default().add(hour);
    }
    days
}

fn same(ours: &Value, theirs: Option<f64>, what: &str) {
    match (ours.as_f64(), theirs) {
        (None, None) => assert!(ours.is_null(), "{what}: {ours}"),
        (Some(a), Some(b)) => assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{what}: {a}, not {b}"),
        (a, b) => panic!("{what}: {a:?}, not {b:?}"),
    }
}

fn compare(day: &Value, expected: &Day, what: &str) {
    assert_eq!(day["hours"].as_i64(), Some(expected.hours), "{what}");
    same(&day["air_temperature_mean"], mean(&expected.temperature), what);
    same(&day["air_temperature_min"], extreme(&expected.temperature, f64::min), what);
    same(&day["air_temperature_max"], extreme(&expected.temperature, f64::max), what);
    let sum = (!expected.precipitation.is_empty()).then(|| expected.precipitation.iter().sum());
    same(&day["precipitation_sum"], sum, what);
    same(&day["wind_speed_mean"], mean(&expected.wind), what);
    same(&day["relative_humidity_mean"], mean(&expected.humidity), what);
}

/// Fills a lake from a file and compares every day and the last week of each airport.
async fn days_equal_the_files_own(stack: Stack, file: &Path, from: &str, to: &str) {
    let stations = nyc::stations(file);
    let Some((app, _stub)) = nyc::start(stack, stations.clone(), from, to).await else { return };
    let acme = app.customer("acme").await;
    for ((region, ..), station) in nyc::AIRPORTS.iter().zip(&stations) {
        let expected = brute_force(station);
        let (first, last) = (expected.keys().next().unwrap(), expected.keys().next_back().unwrap());
        let path =
            format!("/v1/regions/{region}/weather?grain=day&from={first}&to={}", last.succ_opt().unwrap());
        let days = acme.get(&path).await.data();
        let days = days.as_array().unwrap();
        assert_eq!(days.len(), expected.len(), "{region}");
        for (day, (date, expected)) in days.iter().zip(&expected) {
            assert_eq!(day["day"], date.to_string());
            compare(day, expected, &format!("{region} {date}"));
        }
        let summary = acme.get(&format!("/v1/regions/{region}/summary?window=7d")).await.data();
        window_is_the_mean_of_its_days(&summary["weather"], &expected, region);
    }
}

fn window_is_the_mean_of_its_days(weather: &Value, days: &BTreeMap<NaiveDate, Day>, region: &str) {
    let last = *days.keys().next_back().unwrap();
    assert_eq!(weather["latest"]["day"], last.to_string());
    let first = last - chrono::Days::new(6);
    let window: Vec<&Day> = days.range(first..=last).map(|(_, day)| day).collect();
    let means: Vec<f64> = window.iter().filter_map(|d| mean(&d.temperature)).collect();
    assert_eq!(weather["window"]["days"].as_u64(), Some(window.len() as u64), "{region}");
    assert_eq!(weather["window"]["hours"].as_i64(), Some(window.iter().map(|d| d.hours).sum()));
    same(&weather["window"]["air_temperature_mean"], mean(&means), region);
    let sums = window.iter().flat_map(|d| &d.precipitation).sum::<f64>();
    same(&weather["window"]["precipitation_sum"], Some(sums), region);
}

#[rstest]
#[tokio::test]
async fn a_small_file_with_dst_gaps_and_na_gives_its_own_days(#[values(Sqlite, Postgres)] stack: Stack) {
    let file = project_root().join("tests/data/nyc-hours.csv");
    days_equal_the_files_own(stack, &file, "2013-03-01", "2013-03-20").await;
}

#[tokio::test]
async fn the_real_year_of_three_airports_gives_its_own_days() {
    let Some(file) = shared_data("nyc-weather-hourly.csv") else { return };
    days_equal_the_files_own(Sqlite, &file, "2013-01-01", "2014-01-01").await;
}

/// The region once it is as wanted.
async fn region_with(reader: &Customer, region: &str, status: &str) -> Value {
    for _ in 0..200 {
        let answer = reader.get(&format!("/v1/regions/{region}")).await;
        if answer.status.as_u16() == 200 {
            let found = answer.data();
            if found["status"] == status {
                return found;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{region} was not {status} within twenty seconds");
}

#[tokio::test]
async fn a_region_that_events_name_first_is_pending_until_its_point_is_known_and_has_its_weather_then() {
    let stations = nyc::stations(&project_root().join("tests/data/nyc-hours.csv"));
    let stub = WeatherStub::start(stations.clone()).unwrap();
    let known = nyc::AIRPORTS.into_iter().filter(|(region, ..)| *region != "us-lga");
    let lake_file = Some(lake(known, |definition| nyc::asking(&stub.url, definition)));
    let own = Options { lake_file, sources: true, ..options(Sqlite) };
    let Some(app) = TestApp::start(own).await else { return };
    let acme = app.customer("acme").await;
    acme.get("/v1/regions/us-lga").await.problem(404, "unknown-region");
    let event = |id: &str| json!({"event_id": id, "event_time": Utc::now().to_rfc3339(), "region_id": "us-lga", "price": 7.0});
    app.operator.post("/v1/events/d", event("first")).await.status(202);
    let pending = region_with(&acme, "us-lga", "pending").await;
    assert!(pending["lon"].is_null() && pending["timezone"].is_null(), "{pending}");
    let mut placed = event("placed");
    (placed["lat"], placed["lon"]) = (json!(40.7772), json!(-73.8726));
    app.operator.post("/v1/events/d", placed).await.status(202);
    let active = region_with(&acme, "us-lga", "active").await;
    assert_eq!(active["timezone"], "America/New_York", "{active}");
    nyc::backfill(&app, "2013-03-05", "2013-03-08");
    nyc::followed().await;
    let path = "/v1/regions/us-lga/weather?grain=day&from=2013-03-06&to=2013-03-08";
    let days = acme.get(path).await.data();
    let expected = brute_force(&stations[2]);
    assert_eq!(days.as_array().unwrap().len(), 2, "{days}");
    for day in days.as_array().unwrap() {
        let date: NaiveDate = day["day"].as_str().unwrap().parse().unwrap();
        compare(day, &expected[&date], &format!("us-lga {date}"));
    }
}

#[tokio::test]
async fn a_forecast_as_of_a_time_is_the_one_that_was_known_then() {
    let stations = nyc::stations(&project_root().join("tests/data/nyc-hours.csv"));
    let stub = WeatherStub::start_foreseeing(stations, Duration::ZERO).unwrap();
    let proxy = FaultProxy::start(&stub.url, 7).unwrap();
    let lake_file = Some(lake(nyc::AIRPORTS, |definition| {
        nyc::asking(&proxy.url, definition).replace("forecast_every = \"1h\"", "forecast_every = \"1s\"")
    }));
    let Some(app) = TestApp::start(Options { lake_file, ..options(Sqlite) }).await else { return };
    let acme = app.customer("acme").await;
    let issue = async || {
        let done = app.verb(&["run", "c.forecast"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        nyc::followed().await;
    };
    // When the forecast was made, and its hours.
    let foreseen = async |as_of: Option<DateTime<Utc>>| {
        let at =
            |time: DateTime<Utc>| format!("?as_of={}", time.to_rfc3339_opts(SecondsFormat::Millis, true));
        let path = format!("/v1/regions/us-jfk/forecast{}", as_of.map(at).unwrap_or_default());
        let mut answer = acme.get(&path).await.ok();
        (answer["meta"]["issued_at"].take(), answer["data"].take())
    };
    issue().await;
    let (first, between) = (foreseen(None).await, Utc::now());
    // The service thinks better of it: other temperatures for the same hours.
    proxy.disturb(100, &[Renamed("°F", "°C")]);
    issue().await;
    let second = foreseen(None).await;
    let issued: DateTime<Utc> = first.0.as_str().unwrap().parse().unwrap();
    assert!(first.0 != second.0 && first.1 != second.1, "{first:?}");
    assert_eq!(foreseen(Some(between)).await, first);
    assert_eq!(foreseen(Some(Utc::now())).await, second);
    assert_eq!(foreseen(Some(issued - TimeDelta::seconds(1))).await, (Value::Null, json!([])));
}

#[tokio::test]
async fn months_are_means_of_days_and_hours_are_the_files_own() {
    let file = project_root().join("tests/data/nyc-hours.csv");
    let stations = nyc::stations(&file);
    let Some((app, _stub)) = nyc::start(Sqlite, stations.clone(), "2013-03-01", "2013-03-20").await else {
        return;
    };
    let acme = app.customer("acme").await;
    let days = brute_force(&stations[0]);
    let march: Vec<f64> = days
        .iter()
        .filter(|(day, _)| day.to_string().starts_with("2013-03"))
        .filter_map(|(_, d)| mean(&d.temperature))
        .collect();
    let months =
        acme.get("/v1/regions/us-ewr/weather?grain=month&from=2013-03-01&to=2013-04-01").await.data();
    same(&months[0]["air_temperature_mean"], mean(&march), "March");
    let hours = acme
        .get("/v1/regions/us-ewr/weather?grain=hour&from=2013-03-10T05:00:00Z&to=2013-03-11T04:00:00Z")
        .await
        .data();
    let from: DateTime<Utc> = "2013-03-10T05:00:00Z".parse().unwrap();
    let to: DateTime<Utc> = "2013-03-11T04:00:00Z".parse().unwrap();
    let expected: Vec<_> = stations[0].hours.range(from..to).collect();
    assert_eq!(hours.as_array().unwrap().len(), expected.len());
    for (ours, (time, hour)) in hours.as_array().unwrap().iter().zip(expected) {
        assert_eq!(ours["time"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), *time);
        same(&ours["air_temperature"], hour.temperature_f.map(|f| (f - 32.0) / 1.8), "an hour");
    }
}

#[tokio::test]
async fn the_document_lists_for_each_series_the_grains_that_it_takes() {
    let Some(app) = app(Sqlite).await else { return };
    let document = app.operator.get("/openapi.json").await.ok();
    let grains = |path: &str| {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let grain = parameters.iter().find(|parameter| parameter["name"] == "grain").unwrap();
        let schema = &grain["schema"];
        let named =
            schema["$ref"].as_str().map(|name| document.pointer(name.trim_start_matches('#')).unwrap());
        named.unwrap_or(schema)["enum"].clone()
    };
    for (kind, expected) in
        [("weather", json!(["hour", "day", "month", "year"])), ("market", json!(["day", "month", "year"]))]
    {
        for path in [format!("/v1/{kind}"), format!("/v1/regions/{{region}}/{kind}")] {
            assert_eq!(grains(&path), expected, "{path}");
        }
    }
}
