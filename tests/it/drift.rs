//! What partners change without a word: columns that come, types that widen, values that lie deeper.

use std::path::Path;
use std::time::Instant;

use harness::Stack::Sqlite;
use harness::{Customer, Options, TestApp};
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::shared::{options, spoken};
use crate::sources_files::{PATIENCE, csv, lands, server, write};

/// The rows of source A by day, once there are so many.
async fn activity(app: &TestApp, acme: &Customer, count: usize) -> Vec<Value> {
    let since = Instant::now();
    loop {
        let rows = acme.get("/v1/tables/source_a/activity/rows?order=day").await.data();
        let rows = rows.as_array().unwrap().clone();
        if rows.len() == count {
            return rows;
        }
        assert!(since.elapsed() < PATIENCE, "{rows:?}\n{}", spoken(app));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn columns(acme: &Customer) -> Vec<String> {
    let table = acme.get("/v1/tables/source_a/activity").await.data();
    let columns = table["columns"].as_array().unwrap().iter();
    columns.map(|c| format!("{} {}", c["name"].as_str().unwrap(), c["type"].as_str().unwrap())).collect()
}

fn with(head: &str, row: &str) -> String {
    format!("region_id,activity_index,visits,{head}\nus-jfk,0.5,2,{row}\n")
}

fn values(rows: &[Value], column: &str) -> Vec<Value> {
    rows.iter().map(|row| row[column].clone()).collect()
}

#[tokio::test]
async fn a_column_that_comes_is_added_and_widens_with_what_comes_later() {
    let Some(mut app) = server("from.folder = \"a\"\ndrift = \"widen\"").await else { return };
    let (acme, inbox) = (app.customer("acme").await, app.folder.join("sources/inbox/a"));
    write(&inbox, "a-2021-10-04.csv", csv(1));
    lands(&app, &acme, &["2021-10-01 1"]).await;
    // Typed from the whole file: the last of many rows says that it is a fraction.
    let many: String = (0..3_000).map(|n| format!("us-jfk,2020-01-01,0.5,{n},{n}\n")).collect();
    let late = format!("region_id,day,activity_index,visits,share\n{many}us-jfk,2021-10-02,0.5,1,0.25\n");
    write(&inbox, "b-2021-10-05.csv", late);
    let rows = activity(&app, &acme, 3).await;
    assert_eq!(values(&rows, "share"), [json!(2999.0), json!(null), json!(0.25)]);
    assert!(columns(&acme).await.contains(&"share double".to_owned()), "{:?}", columns(&acme).await);
    write(&inbox, "c-2021-10-06.csv", with("shops,note", "7,"));
    let rows = activity(&app, &acme, 4).await;
    assert_eq!(values(&rows, "shops"), [json!(null), json!(null), json!(null), json!(7)]);
    assert!(columns(&acme).await.contains(&"shops bigint".to_owned()));
    // A column without a value has no type yet.
    assert!(!columns(&acme).await.iter().any(|column| column.starts_with("note")));
    write(&inbox, "d-2021-10-07.csv", with("shops", "7.5"));
    let rows = activity(&app, &acme, 5).await;
    assert_eq!(values(&rows[3..], "shops"), [json!(7.0), json!(7.5)]);
    write(&inbox, "e-2021-10-08.csv", with("shops", "many"));
    let rows = activity(&app, &acme, 6).await;
    assert_eq!(values(&rows[3..], "shops"), [json!("7.0"), json!("7.5"), json!("many")]);
    assert!(columns(&acme).await.contains(&"shops text".to_owned()));
    // What the lake declares stays what it is: a file of another type is set aside.
    write(&inbox, "f-2021-10-09.csv", "region_id,activity_index,visits\nus-jfk,0.5,few\n");
    write(&inbox, "g-2021-10-10.csv", csv(9));
    let rows = activity(&app, &acme, 7).await;
    let told = columns(&acme).await;
    assert!(told.contains(&"visits bigint".to_owned()), "{told:?}");
    let filtered = acme.get("/v1/tables/source_a/activity/rows?shops=eq.many&select=day,shops").await.data();
    assert_eq!(filtered, json!([{"day": "2021-10-05", "shops": "many"}]));
    // A restart, and a rebuild from the bytes as they came, give the same.
    app.kill();
    app.resume().await;
    assert_eq!((columns(&acme).await, activity(&app, &acme, 7).await), (told.clone(), rows.clone()));
    app.kill();
    let rebuilt = app.verb(&["rebuild", "--from", "raw"]);
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    app.resume().await;
    assert_eq!((columns(&acme).await, activity(&app, &acme, 7).await), (told, rows));
}

fn put(folder: &Path, name: &str, value: Value) {
    write(folder, name, value.to_string());
}

#[tokio::test]
async fn nested_values_are_unnested_by_the_paths_that_the_source_declares() {
    let keys = "from.folder = \"a\"\npaths = { region_id = \"place.id\", visits = \"counts.visits\", \
                activity_index = \"counts.index[1]\", day = \"at.day\" }";
    let Some(app) = server(keys).await else { return };
    let (acme, inbox) = (app.customer("acme").await, app.folder.join("sources/inbox/a"));
    put(
        &inbox,
        "a-2021-10-04.ndjson",
        json!({"place": {"id": "us-jfk", "name": "JFK"}, "counts": {"visits": 3, "index": [1, 2.5]}, "at": {"day": "2021-09-01"}}),
    );
    put(
        &inbox,
        "a-2021-10-05.json",
        json!([{"place": {"id": "us-ewr"}, "counts": {"visits": null, "index": [1]}, "at": {"day": "2021-09-02"}}]),
    );
    let rows = activity(&app, &acme, 2).await;
    let told = |row: &Value| json!([row["region_id"], row["day"], row["visits"], row["activity_index"]]);
    assert_eq!(told(&rows[0]), json!(["us-jfk", "2021-09-01", 3, 2.5]));
    assert_eq!(told(&rows[1]), json!(["us-ewr", "2021-09-02", null, null]));
    // A row without its key, and one whose value is of another type, are set aside with their file.
    put(
        &inbox,
        "a-2021-10-06.json",
        json!([{"place": {}, "counts": {"visits": 1}, "at": {"day": "2021-09-03"}}]),
    );
    put(
        &inbox,
        "a-2021-10-07.json",
        json!([{"place": {"id": "us-jfk"}, "counts": {"visits": "few"}, "at": {"day": "2021-09-03"}}]),
    );
    let since = Instant::now();
    while spoken(&app).matches("a file is set aside").count() < 2 {
        assert!(since.elapsed() < PATIENCE, "{}", spoken(&app));
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(activity(&app, &acme, 2).await, rows);
}

#[tokio::test]
async fn a_path_to_a_column_that_is_not_there_is_told_by_check() {
    let folder = lake([("us-jfk", "JFK", 40.6398, -73.7789)], |definition| {
        without_weather(definition).replacen(
            "dated = \"day\"",
            "dated = \"day\"\npaths = { visitors = \"counts.visits\" }",
            1,
        )
    });
    let Some(app) = TestApp::start(Options { lake_file: None, ..options(Sqlite) }).await else { return };
    let checked = app.command(&["check"]).env("LAKEFRONT__LAKE__FILE", folder).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(!checked.status.success() && said.contains("`visitors`"), "{said}");
}
