//! A store says that something is there: its source looks at once, and not when its next look is due.

use std::time::{Duration, Instant};

use harness::Stack::Sqlite;
use harness::{Options, S3, TestApp};
use serde_json::{Value, json};

use crate::shared::options;
use crate::sources_files::{csv, lake_with, lands, rows, write};

fn record(name: &str) -> Value {
    json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name,
           "s3": {"bucket": {"name": "lake"}, "object": {"key": "partner/a-2021-10-04.csv", "size": 60}}})
}

/// A server whose source A is looked at once an hour.
async fn server(keys: &str, env: Vec<(String, String)>) -> Option<TestApp> {
    let folder = lake_with(keys);
    let file = folder.join("lake.toml");
    let definition = std::fs::read_to_string(&file).unwrap();
    let (before, after) = definition.split_once("[sources.a]").unwrap();
    let after = after.replacen("every = \"1s\"", "every = \"1h\"", 1);
    std::fs::write(&file, format!("{before}[sources.a]{after}")).unwrap();
    TestApp::start(Options { lake_file: Some(folder), sources: true, env, ..options(Sqlite) }).await
}

#[tokio::test]
async fn a_source_of_a_folder_looks_at_once_when_it_is_told() {
    let Some(app) = server("from.folder = \"a\"\nsettle_ms = 400", Vec::new()).await else { return };
    let (acme, inbox) = (app.customer("acme").await, app.folder.join("sources/inbox/a"));
    write(&inbox, "a-2021-10-04.csv", csv(1));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(rows(&acme).await.is_empty(), "the hour is not over");
    let other = [record("ObjectRemoved:Delete"), json!({"eventName": 7})];
    let told =
        app.operator.post("/v1/events/a", json!({"Records": other})).await.status(202).json()["data"].take();
    assert_eq!((&told["accepted"], &told["ignored"], &told["job"]), (&json!(0), &json!(2), &json!(null)));
    assert!(told["note"].as_str().unwrap().contains("ignored"), "{told}");
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"});
    assert_eq!(app.operator.post("/v1/events/a", test).await.status(202).json()["data"].take()["ignored"], 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(rows(&acme).await.is_empty(), "nothing came");
    // A file that is still settling when the word comes is taken as soon as it has.
    write(&inbox, "a-2021-10-05.csv", csv(2));
    let since = Instant::now();
    let both = json!({"Records": [record("ObjectCreated:Put"), record("ObjectRemoved:Delete")]});
    let told = app.operator.post("/v1/events/a", both).await.status(202).json()["data"].take();
    assert_eq!((&told["accepted"], &told["ignored"]), (&json!(1), &json!(1)));
    lands(&app, &acme, &["2021-10-01 1", "2021-10-02 2"]).await;
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    let job = app.operator.get(told["job"].as_str().unwrap()).await.data();
    assert_eq!((&job["kind"], &job["pipeline"]), (&json!("run"), &json!("a")), "{job}");
}

#[tokio::test]
async fn only_who_may_push_events_is_heard_and_rubbish_is_refused() {
    let Some(app) = server("from.folder = \"a\"", Vec::new()).await else { return };
    let acme = app.customer("acme").await;
    let notice = json!({"Records": [record("ObjectCreated:Put")]});
    acme.post("/v1/events/a", notice.clone()).await.problem(403, "forbidden");
    app.operator.post("/v1/events/a", json!({"records": []})).await.problem(400, "invalid-body");
    app.operator.post("/v1/events/nothing", notice.clone()).await.problem(404, "unknown-source");
    app.operator.post("/v1/events/d", notice).await.problem(422, "invalid-event");
}

#[tokio::test]
async fn many_words_of_one_store_are_one_look() {
    let Some(store) = S3::start().await else { return };
    let keys = format!(
        "[sources.a.from.store]\nurl = \"s3://lake/partner\"\nallow_private = true\n\
         options = {{ allow_http = \"true\", aws_endpoint = {:?}, aws_region = \"us-east-1\", aws_access_key_id = \"tests\" }}\n\
         secrets = {{ aws_secret_access_key = {{ env = \"A_SECRET\" }} }}",
        store.url()
    );
    let secret = ("A_SECRET".to_owned(), "correct-horse-battery".to_owned());
    let Some(app) = server(&keys, vec![secret]).await else { return };
    let acme = app.customer("acme").await;
    store.put("partner/a-2021-10-04.csv", csv(1)).await.unwrap();
    let notice = json!({"Records": [record("s3:ObjectCreated:Put")]});
    let mut jobs = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let told = app.operator.post("/v1/events/a", notice.clone()).await.status(202).json()["data"].take();
        jobs.insert(told["job"].as_str().unwrap().to_owned());
    }
    lands(&app, &acme, &["2021-10-01 1"]).await;
    assert!(jobs.len() <= 6, "{jobs:?}");
}
