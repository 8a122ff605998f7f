//! Whoever must know is told: signed, again until it is taken, and what cannot be told is not lost.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::Stack::Sqlite;
use harness::{HookStub, Options, TestApp};
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::shared::options;
use crate::sources_files::{csv, lake_with, lands, write};

const SECRET: &str = "p9f7W-2kkQz81hsd";
const JFK: [(&str, &str, f64, f64); 1] = [("us-jfk", "JFK", 40.6398, -73.7789)];

/// A server whose market is promised anew each second and comes from nowhere, so that it is overdue at once.
async fn server(hook: &HookStub, attempts: u32) -> Option<TestApp> {
    let folder = lake(JFK, |definition| {
        without_weather(definition).replacen("promise = \"10m\"", "promise = \"1s\"", 1)
    });
    let config = format!(
        "[alerts]\nwebhook = \"{}/hook?token=5d1f\"\nwebhook_secret = \"{SECRET}\"\nallow_private = true\nattempts = {attempts}\nretry_ms = 100\n",
        hook.url
    );
    let own = Options { lake_file: Some(folder), config, sources: true, ..options(Sqlite) };
    let mut app = TestApp::start(own).await?;
    // What is overdue is looked for at the start.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    app.kill();
    app.resume().await;
    Some(app)
}

/// HMAC-SHA256 by another implementation.
fn signed(timestamp: &str, body: &str) -> String {
    let mut openssl = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = openssl.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, format!("{timestamp}.{body}").as_bytes()).unwrap();
    drop(input);
    let told = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    format!("v1={}", told.trim().rsplit(' ').next().unwrap())
}

#[tokio::test]
async fn an_alert_is_told_signed_and_again_until_it_is_taken() {
    let hook = HookStub::start(2).unwrap();
    let Some(app) = server(&hook, 8).await else { return };
    let calls = hook.until(3).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mine = |calls: &[harness::HookCall]| -> Vec<Value> {
        let bodies = calls.iter().map(|call| serde_json::from_str::<Value>(&call.body).unwrap());
        bodies.filter(|body| body["subject"] == "market.events").collect()
    };
    let told = mine(&hook.calls());
    assert_eq!(told.len(), 3, "told once it is taken, and not again: {told:?}");
    assert!(told.iter().all(|body| body["id"] == told[0]["id"] && body["kind"] == "overdue"), "{told:?}");
    assert_eq!(told[0]["sources"], json!(["d"]));
    for call in &calls {
        assert_eq!(
            call.header("lakefront-signature"),
            signed(call.header("lakefront-timestamp"), &call.body)
        );
    }
    assert!(!app.log().contains("5d1f"), "the token of the address is in the log");
    let status = app.verb(&["status"]);
    assert_eq!(status.status.code(), Some(2), "{}", String::from_utf8_lossy(&status.stderr));
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["well"], &status["dead_letters"]), (&json!(false), &json!([])));
    let tables = status["tables"].as_array().unwrap();
    let late = tables.iter().find(|table| table["table"] == "market.events").unwrap();
    assert!(late["why"].as_str().unwrap().starts_with("source d had nothing new"), "{late}");
    assert!(late["todo"].as_str().unwrap().contains("`lakefront run d`"), "{late}");
}

#[tokio::test]
async fn an_alert_that_nobody_takes_is_a_dead_letter_that_status_shows() {
    let hook = HookStub::start(usize::MAX).unwrap();
    let Some(app) = server(&hook, 2).await else { return };
    hook.until(2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hook.calls().len(), 2);
    let status: Value = serde_json::from_slice(&app.verb(&["status"]).stdout).unwrap();
    let letter = &status["dead_letters"][0];
    assert_eq!((&letter["subject"], &letter["attempts"]), (&json!("market.events"), &json!(2)), "{status}");
    assert_eq!(letter["error"], "status 500 Internal Server Error");
}

/// The alerts of batches set aside, by file.
fn aside(hook: &HookStub) -> Vec<(String, String)> {
    let bodies = hook.calls().into_iter().map(|call| serde_json::from_str::<Value>(&call.body).unwrap());
    let own = bodies.filter(|body| body["kind"] == "batch-set-aside");
    own.map(|body| (body["subject"].as_str().unwrap().to_owned(), body["file"].as_str().unwrap().to_owned()))
        .collect()
}

async fn until_aside(hook: &HookStub, count: usize) -> Vec<(String, String)> {
    let since = std::time::Instant::now();
    while aside(hook).len() < count {
        assert!(since.elapsed() < Duration::from_secs(30), "{:?}", hook.calls());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    aside(hook)
}

#[tokio::test]
async fn each_file_set_aside_is_told_once_and_stands_in_status_until_it_comes_right() {
    let hook = HookStub::start(0).unwrap();
    let config = format!(
        "[alerts]\nwebhook = \"{}/hook\"\nwebhook_secret = \"{SECRET}\"\nallow_private = true\nretry_ms = 100\n",
        hook.url
    );
    let lake_file = Some(lake_with("from.folder = \"a\""));
    let own = Options { lake_file, config, sources: true, ..options(Sqlite) };
    let Some(mut app) = TestApp::start(own).await else { return };
    let inbox = app.folder.join("sources/inbox/a");
    let told = |file: &str| ("a".to_owned(), file.to_owned());
    write(&inbox, "a-2021-10-04.csv", "region_id,shops\nus-jfk,7\n");
    write(&inbox, "a-2021-10-05.csv", csv(2));
    write(&inbox, "a-2021-10-06.csv", "\0\0\0");
    let both = until_aside(&hook, 2).await;
    assert_eq!(
        BTreeSet::from_iter(both),
        BTreeSet::from([told("a-2021-10-06.csv"), told("a-2021-10-04.csv")])
    );
    // A restart tells nothing anew; another content that does not fit either is news.
    app.kill();
    app.resume().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(aside(&hook).len(), 2);
    write(&inbox, "a-2021-10-06.csv", "region_id,malls\nus-jfk,7\n");
    assert_eq!(until_aside(&hook, 3).await[2], told("a-2021-10-06.csv"));
    let status = || serde_json::from_slice::<Value>(&app.verb(&["status"]).stdout).unwrap();
    let now = status();
    let files: Vec<_> =
        now["set_aside"].as_array().unwrap().iter().map(|aside| aside["file"].clone()).collect();
    assert_eq!(files, ["a-2021-10-06.csv", "a-2021-10-04.csv"]);
    let first = &now["set_aside"][1];
    assert!(first["why"].as_str().unwrap().contains("`shops`"), "{first}");
    assert!(first["todo"].as_str().unwrap().contains("drift"), "{first}");
    let source = now["sources"].as_array().unwrap().iter().find(|source| source["source"] == "a").unwrap();
    assert_eq!(source["set_aside"], 2);
    write(&inbox, "a-2021-10-04.csv", csv(1));
    write(&inbox, "a-2021-10-06.csv", csv(3));
    let acme = app.customer("acme").await;
    lands(&app, &acme, &["2021-10-01 1", "2021-10-02 2", "2021-10-03 3"]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(status()["set_aside"], json!([]));
    assert_eq!(aside(&hook).len(), 3);
}
