//! Tables that are written again and again stay in good shape, and what does not is seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use harness::Stack::Sqlite;
use harness::{Options, TestApp};
use serde_json::Value;

use crate::lakes::{lake, without_weather};
use crate::shared::options;
use crate::sources_files::write;

const JFK: [(&str, &str, f64, f64); 1] = [("us-jfk", "JFK", 40.6398, -73.7789)];

/// The live files of a table by its Delta log, with their statistics. Read from the first entry on: no checkpoint is trusted.
pub fn live(table: &Path) -> BTreeMap<String, Value> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(table.join("_delta_log")).unwrap().flatten().map(|entry| entry.path()).collect();
    entries.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    entries.sort();
    let mut live = BTreeMap::new();
    for line in entries.iter().flat_map(|path| {
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    }) {
        let action: Value = serde_json::from_str(&line).unwrap();
        if let Some(add) = action.get("add") {
            let stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
            live.insert(add["path"].as_str().unwrap().to_owned(), stats);
        }
        if let Some(remove) = action.get("remove") {
            live.remove(remove["path"].as_str().unwrap());
        }
    }
    live
}

/// Files a month, by the bounds of a column; a file of two months fails.
fn by_month(files: &BTreeMap<String, Value>, column: &str) -> BTreeMap<String, usize> {
    let mut months = BTreeMap::new();
    for (path, stats) in files {
        let month = |bound: &str| stats[bound][column].as_str().unwrap()[..7].to_owned();
        assert_eq!(month("minValues"), month("maxValues"), "{path} holds two months: {stats}");
        *months.entry(month("minValues")).or_default() += 1;
    }
    months
}

pub fn told(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Until files that were just written may be taken.
pub async fn settled() {
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
}

/// A server that asks no source by itself.
pub async fn server() -> Option<TestApp> {
    TestApp::start(Options { lake_file: Some(lake(JFK, without_weather)), ..options(Sqlite) }).await
}

#[tokio::test]
async fn files_that_come_each_hour_are_few_and_each_of_its_own_month() {
    let Some(app) = server().await else { return };
    let inbox = app.folder.join("sources/inbox/a");
    // Two months of hours: each brings a day of its own, so that no file is rewritten by the next one.
    let day = |n: i64| chrono::NaiveDate::from_ymd_opt(2021, 1, 1).unwrap() + chrono::TimeDelta::days(n);
    let mut written = 0;
    for month in 0..4 {
        for n in 0..45 {
            let date = day(month * 30 + n % 30);
            let region = format!("us-r{n}-{month}");
            let csv = format!("region_id,day,activity_index,visits\n{region},{date},0.5,{n}\n");
            write(&inbox, &format!("a-{month}-{n:03}.csv"), csv);
            written += 1;
        }
        settled().await;
        assert_eq!(told(&app.verb(&["run", "a"]))["batches"], 45);
        assert_eq!(told(&app.verb(&["run", "maintenance"]))["failed"], serde_json::json!([]));
    }
    let table = app.folder.join("objects/curated/source_a/activity");
    let months = by_month(&live(&table), "day");
    assert!(months.len() >= 4 && months.values().all(|files| *files <= 64), "{months:?}");
    assert!(months.values().sum::<usize>() < written / 2, "{months:?}");
    let acme = app.customer("acme").await;
    let count = acme.sql("SELECT count(*) AS n FROM source_a.activity").await.data();
    assert_eq!(count[0]["n"], written);
}

#[tokio::test]
async fn an_upkeep_that_fails_is_told_in_status_until_it_is_well_again() {
    let Some(app) = server().await else { return };
    let inbox = app.folder.join("sources/inbox/a");
    for n in 0..9 {
        let csv = format!("region_id,day,activity_index,visits\nus-r{n},2021-01-0{},0.5,{n}\n", n + 1);
        write(&inbox, &format!("a-{n}.csv"), csv);
    }
    settled().await;
    assert_eq!(told(&app.verb(&["run", "a"]))["rows"], 9);
    let table = app.folder.join("objects/curated/source_a/activity");
    let broken = table.join(live(&table).keys().next().unwrap());
    let whole = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let health = || {
        let output = app.verb(&["status"]);
        let status = told(&output);
        let tables = status["tables"].as_array().unwrap().clone();
        let own = tables.into_iter().find(|table| table["table"] == "source_a.activity").unwrap();
        (output.status.code(), status["well"].clone(), own)
    };
    for round in 1..=3 {
        let maintained = told(&app.verb(&["run", "maintenance"]));
        assert!(maintained["failed"][0].as_str().unwrap().starts_with("source_a.activity: "), "{maintained}");
        let (_, _, own) = health();
        assert!(own["upkeep"].as_str().unwrap().contains(&format!("failed {round} times")), "{own}");
        assert!(own["todo"].as_str().unwrap().contains("lakefront run maintenance"), "{own}");
    }
    let (code, well, _) = health();
    assert_eq!((code, well), (Some(2), serde_json::json!(false)));
    let log = app.log();
    assert!(log.contains("\"WARN\"") && log.contains("the table's upkeep fails"), "{log}");
    std::fs::write(&broken, whole).unwrap();
    assert_eq!(told(&app.verb(&["run", "maintenance"]))["failed"], serde_json::json!([]));
    let (_, _, own) = health();
    assert_eq!(own["upkeep"], Value::Null);
    assert_eq!(live(&table).len(), 1);
}

#[tokio::test]
async fn what_an_area_no_longer_keeps_goes_and_what_was_computed_from_it_stays() {
    let folder = lake(JFK, without_weather);
    let own = Options { lake_file: Some(folder.clone()), ..options(Sqlite) };
    let Some(mut app) = TestApp::start(own).await else { return };
    let (inbox, recent) =
        (app.folder.join("sources/inbox/a"), chrono::Utc::now().date_naive() - chrono::Days::new(5));
    for (name, day) in [("old", "2021-01-04".to_owned()), ("new", recent.to_string())] {
        let csv = format!("region_id,day,activity_index,visits\nus-jfk,{day},0.5,7\n");
        write(&inbox, &format!("a-{name}.csv"), csv);
    }
    settled().await;
    assert_eq!(told(&app.verb(&["run", "a"]))["rows"], 2);
    app.kill();
    let definition = folder.join("lake.toml");
    let text = std::fs::read_to_string(&definition).unwrap();
    let kept = "[retention]\nraw = \"30d\"\ncurated = \"62d\"\n\n[sources.a]\n";
    std::fs::write(&definition, text.replacen("[sources.a]\n", kept, 1)).unwrap();
    let raw = app.folder.join("objects/raw/a");
    let (today, long_ago) =
        (chrono::Utc::now().format("day=%Y-%m-%d").to_string(), raw.join("day=2020-01-01"));
    std::fs::create_dir_all(&long_ago).unwrap();
    write(&long_ago, "00000001-a.csv", "bytes that came long ago");
    app.resume().await;

    assert_eq!(told(&app.verb(&["run", "maintenance"]))["failed"], serde_json::json!([]));
    let acme = app.customer("acme").await;
    let days = async |sql: &str| {
        let rows = acme.sql(sql).await.data();
        rows.as_array().unwrap().iter().map(|row| row["day"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let recent = recent.to_string();
    let (curated, computed) =
        ("SELECT day FROM source_a.activity", "SELECT day FROM geo.facts WHERE visits = 7 ORDER BY day");
    assert_eq!(days(curated).await.join(" "), recent);
    assert_eq!(days(computed).await, ["2021-01-04".to_owned(), recent.clone()]);
    let partitions = acme.get("/v1/tables/source_a/activity/partitions").await.data();
    assert_eq!((&partitions[0]["day"], &partitions[1]), (&Value::from(recent.clone()), &Value::Null));
    assert!(!long_ago.join("00000001-a.csv").exists() && raw.join(today).exists());

    assert!(app.verb(&["rebuild"]).status.success());
    assert_eq!(days(computed).await, ["2021-01-04".to_owned(), recent]);
    app.kill();
    let refused = app.verb(&["rebuild", "--from", "raw"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("retention.raw"), "{refused:?}");
}
