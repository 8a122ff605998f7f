//! Models over HTTP: what a failing one shows, what `check` says of a broken folder, and the tables of the default lake.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use harness::Stack::{Postgres, Sqlite};
use harness::{Customer, Options, Stack, TestApp};
use rstest::rstest;
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::shared::options;

const MODEL: &str = "models/aggregated/market.daily.sql";
const REGION: (&str, &str, f64, f64) = ("us-jfk", "JFK", 40.6398, -73.7789);

/// Changes one file of a lake.
fn edit(lake: &Path, file: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(lake.join(file)).unwrap();
    assert!(text.contains(from), "{file} has no {from}");
    std::fs::write(lake.join(file), text.replacen(from, to, 1)).unwrap();
}

/// A server whose market prices must not exceed 100.
async fn server(stack: Stack) -> Option<TestApp> {
    let settled =
        |definition: String| without_weather(definition).replace("settle_ms = 500", "settle_ms = 0");
    let folder = lake([REGION], settled);
    edit(&folder, MODEL, "[tests]", "[tests]\nbetween = { price_mean = [0, 100] }");
    TestApp::start(Options { lake_file: Some(folder), sources: true, ..options(stack) }).await
}

/// The market's history file says this price of 1 March.
fn price(app: &TestApp, price: f64) {
    let file = app.folder.join("sources/inbox/market_history/2026.csv");
    let text = format!(
        "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events\nus-jfk,2026-03-01,,,,,{price},,7\n"
    );
    std::fs::write(file.with_extension("part"), text).unwrap();
    std::fs::rename(file.with_extension("part"), file).unwrap();
}

/// Lands the file at once; the poll of the running server may have been faster.
fn arrive(app: &TestApp) {
    let ran = app.verb(&["run", "market_history"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

async fn market(acme: &Customer) -> (Value, String) {
    let answer =
        acme.get("/v1/regions/us-jfk/market?from=2026-02-01&to=2026-04-01&grain=day").await.status(200);
    let tables = answer.json()["meta"]["tables"].take();
    let market = tables.as_array().unwrap().iter().find(|t| t["name"] == "market.daily").unwrap().clone();
    (market, answer.header("etag").to_owned())
}

/// Waits until answers say that the model fails, or does not.
async fn until(acme: &Customer, failing: bool) -> (Value, String) {
    for _ in 0..200 {
        let (market, tag) = market(acme).await;
        if market["failing"] == failing {
            return (market, tag);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("`failing` did not become {failing} within twenty seconds");
}

fn status(app: &TestApp) -> Value {
    let status: Value = serde_json::from_slice(&app.verb(&["status"]).stdout).unwrap();
    let tables = status["tables"].as_array().unwrap();
    tables.iter().find(|table| table["table"] == "market.daily").unwrap()["failing"].clone()
}

#[rstest]
#[case(Sqlite)]
#[case(Postgres)]
#[tokio::test]
async fn a_failing_model_shows_everywhere_until_a_good_run(#[case] stack: Stack) {
    let Some(mut app) = server(stack).await else { return };
    let acme = app.customer("acme").await;
    price(&app, 50.0);
    arrive(&app);
    for _ in 0..100 {
        if market(&acme).await.0["version"].is_i64() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (good, tag) = market(&acme).await;
    assert_eq!(good["failing"], false);
    price(&app, 500.0);
    arrive(&app);
    let (bad, bad_tag) = until(&acme, true).await;
    assert_eq!(bad["version"], good["version"], "the old version is served");
    assert_ne!(bad_tag, tag, "an answer that is marked is another answer");
    let rows = acme.sql("SELECT price_mean FROM market.daily").await.ok();
    assert_eq!(rows["data"], json!([{"price_mean": 50.0}]));
    assert_eq!(rows["meta"]["tables"][0]["failing"], true);

    let table = acme.get("/v1/tables/market/daily").await.data();
    assert_eq!((&table["failing"], &table["run"]["outcome"]), (&json!(true), &json!("failed")));
    assert!(table["run"]["failure"].as_str().unwrap().contains("`price_mean` has 500"), "{table}");
    let test = table["tests"].as_array().unwrap().iter().find(|t| t["test"] == "between").unwrap();
    assert_eq!((&test["passed"], &test["columns"]), (&json!(false), &json!(["price_mean"])));
    assert_eq!(table["upstream"], json!(["geo.regions", "market.events", "market.history"]));
    assert_eq!(table["downstream"], json!(["geo.facts", "market.monthly", "market.rolling"]));
    assert_eq!(status(&app), true);

    app.kill();
    app.resume().await;
    assert_eq!(market(&acme).await.0["failing"], true, "a restart forgets nothing");
    let metrics = app.operator.get("/metrics").await.status(200).text();
    assert!(metrics.contains("lakefront_model_failing{model=\"market.daily\"} 1"), "{metrics}");

    price(&app, 60.0);
    arrive(&app);
    let (mended, mended_tag) = until(&acme, false).await;
    assert_ne!(mended["version"], bad["version"]);
    assert_ne!(mended_tag, bad_tag);
    assert_eq!(status(&app), false);
    let table = acme.get("/v1/tables/market/daily").await.data();
    assert_eq!(
        (&table["run"]["outcome"], &table["run"]["failing_since"]),
        (&json!("succeeded"), &Value::Null)
    );
}

fn check(lake: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakefront"));
    command.arg("check").current_dir(lake).env("LAKEFRONT__LAKE__FILE", lake);
    let key = lake.join("key.pem");
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key).output();
    assert!(made.unwrap().status.success());
    command.env("LAKEFRONT__AUTH__SIGNING_KEY_FILE", key).output().unwrap()
}

#[test]
fn check_tells_every_fault_of_a_folder_with_file_and_line() {
    let folder = lake([REGION], |definition| definition);
    edit(&folder, "models/aggregated/market.daily.sql", "not_null", "notnull");
    edit(&folder, "models/aggregated/weather.daily.sql", "FROM weather.hourly", "FROM weather.hours");
    edit(&folder, "models/aggregated/weather.monthly.sql", "avg(wind_speed_mean)", "avg(wind_speed_men)");
    edit(&folder, "models/operational/geo.regions.sql", "lon = [-180", "lno = [-180");
    let output = check(&folder);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for (place, words) in [
        ("market.daily.sql:10: ", "notnull"),
        ("weather.daily.sql:26: ", "no table `weather.hours`"),
        ("weather.monthly.sql:18: ", "wind_speed_men"),
        ("geo.regions.sql:11: ", "no column `lno`"),
    ] {
        let line = errors.lines().find(|line| line.contains(place));
        assert!(line.is_some_and(|line| line.contains(words)), "{place}{words}: {errors}");
    }
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], false);
    assert!(told["errors"][0]["line"].is_i64(), "{told}");
}

#[test]
fn a_cycle_of_models_is_told_by_check_where_one_of_them_names_the_other() {
    let folder = lake([REGION], |definition| definition);
    for (table, reads) in [("market.daily", "market.monthly"), ("market.monthly", "market.daily")] {
        let head = format!("table = \"{table}\"\nkey = [\"region_id\"]\nwindow = \"region\"");
        let text = format!("/*---\n{head}\n---*/\nSELECT *\nFROM {reads}\n");
        std::fs::write(folder.join(format!("models/aggregated/{table}.sql")), text).unwrap();
    }
    let output = check(&folder);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = errors.lines().find(|line| line.contains("depends on itself")).unwrap_or(&errors);
    let places = ["market.daily.sql:7: ", "market.monthly.sql:7: "];
    assert!(places.iter().any(|place| told.contains(place)), "{told}");
}
