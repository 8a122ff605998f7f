//! The document's examples are true: a server whose lake holds what they name takes each request and answers it so.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use harness::Stack::Sqlite;
use harness::{Hour, Options, Python, Station, TestApp, WeatherStub, project_root};
use serde_json::{Value, json};

use crate::lakes::lake;
use crate::nyc::followed;
use crate::shared::options;

const PACKAGES: [&str; 2] = ["jsonschema[format-nongpl]==4.26.0", "httpx==0.28.1"];
const REGIONS: &str = "region_id,name,country,lon,lat,population\n\
    it-lombardia,Lombardia,IT,9.93,45.57,9976509\nde-bayern,Bayern,DE,11.43,48.95,13369393\n";
const POINTS: [(&str, f64, f64); 2] = [("it-lombardia", 45.57, 9.93), ("de-bayern", 48.95, 11.43)];

/// A January of 5 and 10 °C in turn, a drizzle of 0.6 mm a day and a wind of 2.2 m/s; and tomorrow, to be foreseen.
fn january((name, lat, lon): (&str, f64, f64)) -> Station {
    let january: DateTime<Utc> = "2025-12-31T23:00:00Z".parse().unwrap();
    let tomorrow = (Utc::now() + TimeDelta::days(1)).date_naive().and_time(NaiveTime::MIN).and_utc();
    let hour = |n: i64| Hour {
        temperature_f: Some(if n % 2 == 1 { 50.0 } else { 41.0 }),
        precipitation_inch: Some(0.025 / 25.4),
        wind_mph: Some(2.2 / 0.447_04),
        humidity: Some(78.0),
    };
    let run = |start: DateTime<Utc>, hours| (0..hours).map(move |n| (start + TimeDelta::hours(n), hour(n)));
    let hours = run(january, 31 * 24).chain(run(tomorrow, 24)).collect();
    Station { name: name.into(), lat, lon, hours }
}

/// A week of the market of one region.
fn market() -> String {
    let head = "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events\n";
    (25..=31).fold(head.to_owned(), |csv, day| {
        csv + &format!("it-lombardia,2026-01-{day},100,104,98,102,101.2,47.3,4211\n")
    })
}

/// A server whose lake holds what the examples name.
async fn start(stub: &WeatherStub) -> Option<TestApp> {
    let folder = lake([], |definition| {
        definition
            .replace("https://api.open-meteo.com", &stub.url)
            .replace("https://archive-api.open-meteo.com", &stub.url)
            .replace("pause_ms = 200", "pause_ms = 0\nallow_private = true")
    });
    std::fs::write(folder.join("regions.csv"), REGIONS).unwrap();
    let app = TestApp::start(Options { lake_file: Some(folder), sources: true, ..options(Sqlite) }).await?;
    let inbox = app.folder.join("sources/inbox/market_history");
    std::fs::create_dir_all(&inbox).unwrap();
    std::fs::write(inbox.join("2026.csv"), market()).unwrap();
    // Younger than `settle_ms`, the file would be left for the next look.
    std::thread::sleep(std::time::Duration::from_millis(700));
    for verb in
        [&["backfill", "c", "--from", "2026-01-01", "--to", "2026-02-01"][..], &["run", "market_history"]]
    {
        let done = app.verb(verb);
        assert!(done.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    followed().await;
    Some(app)
}

/// Every operation of the committed document with its name.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let each = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    each.collect()
}

#[test]
fn every_operation_has_one_known_tag_and_refuses_with_problems() {
    let text = std::fs::read_to_string(project_root().join("openapi/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for (name, operation) in operations(&document) {
        let own = operation["tags"].as_array().unwrap();
        assert!(own.len() == 1 && tags.contains(&&own[0]), "{name}: {own:?}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            if status.as_str() >= "400" {
                let problem = &response["content"]["application/problem+json"];
                assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{name} {status}");
                assert_eq!(problem["example"]["status"].to_string(), *status, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn every_example_of_the_document_is_taken_and_answered_as_it_says() {
    let Some(python) = Python::with(&PACKAGES) else { return };
    let stub = WeatherStub::start(POINTS.map(january).to_vec()).unwrap();
    let Some(app) = start(&stub).await else { return };
    let acme = app.customer("acme").await;
    let root = project_root();
    let document = root.join("openapi/openapi.json").display().to_string();
    let arguments = [&*document, &app.url, &acme.key, &app.operator.key];
    let checked = python.script(&root.join("tests/clients/examples.py"), &arguments, &root).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(told["faults"] == json!([]), "{told:#}");
    assert!(told["operations"].as_u64() > Some(50), "{told}");
}
