//! The later areas made again from the raw one: alone, and whole before anybody is served.

use std::time::Duration;

use harness::Stack::Sqlite;
use harness::{Customer, Options, TestApp};
use serde_json::Value;

use crate::lakes::{lake, without_weather};
use crate::shared::options;

const RAW: [&str; 3] = ["rebuild", "--from", "raw"];

async fn activity(acme: &Customer) -> Value {
    acme.sql("SELECT region_id, day, activity_index, visits, ingested_at FROM source_a.activity").await.data()
}

#[tokio::test]
async fn a_rebuild_from_raw_needs_the_lake_alone_and_one_that_was_killed_ends_before_anybody_is_served() {
    let folder = lake([("us-jfk", "JFK", 40.6398, -73.7789)], without_weather);
    let own = Options { lake_file: Some(folder), ..options(Sqlite) };
    let Some(mut app) = TestApp::start(own).await else { return };
    let acme = app.customer("acme").await;
    let csv = "region_id,activity_index,visits\nus-jfk,101.5,12\n";
    std::fs::write(app.folder.join("sources/inbox/a/20260310.csv"), csv).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(app.verb(&["run", "a"]).status.success());
    let before = activity(&acme).await;
    assert_eq!(before[0]["visits"], 12);
    let refused = app.verb(&RAW);
    assert_eq!(refused.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stop the server first"));
    app.kill();
    // It dies when some of the tables are empty.
    let killed = app.command(&RAW).env("LAKEFRONT_FAILPOINTS", "publish.after-catalog#5").output().unwrap();
    assert!(!killed.status.success() && killed.stdout.is_empty());
    app.resume().await;
    assert_eq!(activity(&acme).await, before);
    let job = app.operator.get("/v1/jobs").await.data()[0].take();
    assert_eq!((&job["kind"], &job["status"]), (&"rebuild".into(), &"succeeded".into()), "{job}");
    app.kill();
    let again = app.verb(&RAW);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    app.resume().await;
    assert_eq!(activity(&acme).await, before);
}
