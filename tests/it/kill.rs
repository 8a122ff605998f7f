//! Kill -9 at any moment: what was acknowledged is there and whole, what was not is absent or whole, nothing grows.

use std::time::Duration;

use harness::Stack::Sqlite;
use harness::{Customer, Options, TestApp, Upload, faults};
use rstest::rstest;
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::orphans::nothing_is_left;
use crate::shared::options;

const ROWS: usize = 20_000;

/// Starts the server again, now to die at that point.
pub async fn armed(app: &mut TestApp, point: &str) {
    app.kill();
    app.set_env(vec![("LAKEFRONT_FAILPOINTS".into(), point.into())]);
    app.resume().await;
}

/// Waits until it has died there, and starts it again.
pub async fn back(app: &mut TestApp, point: &str) {
    assert!(app.ended(Duration::from_secs(30)).await, "the failpoint {point} was not reached");
    app.set_env(Vec::new());
    app.resume().await;
}

fn csv() -> String {
    (0..ROWS).fold(String::from("n,word\n"), |csv, n| csv + &format!("{n},word {n}\n"))
}

/// After a restart: `name` is absent, or has all of its rows.
async fn whole_or_absent(acme: &Customer, name: &str, acknowledged: bool) {
    let answer = acme.sql(&format!("SELECT count(*) AS n, count(DISTINCT n) AS d FROM my.{name}")).await;
    match answer.status.as_u16() {
        200 => assert_eq!(answer.data(), json!([{"n": ROWS, "d": ROWS}])),
        _ => {
            assert!(!acknowledged, "{name} was acknowledged and is gone: {}", answer.text());
            answer.problem(404, "unknown-table");
        }
    }
}

/// Uploads while the process may die: whether a 201 came back.
async fn try_upload(acme: &Customer, csv: &str) -> bool {
    let part = reqwest::multipart::Part::text(csv.to_owned()).file_name("k.csv");
    let form = reqwest::multipart::Form::new().text("name", "killed").part("file", part);
    let request =
        acme.request(reqwest::Method::POST, "/v1/datasets").header("idempotency-key", "k1").multipart(form);
    request.send().await.is_ok_and(|answer| answer.status().as_u16() == 201)
}

#[rstest]
#[case("upload.head")]
#[case("upload.half-body")]
#[case("upload.before-parse")]
#[case("upload.after-put")]
#[case("upload.after-conversion")]
#[case("upload.before-commit")]
#[case("upload.after-commit")]
#[case("upload.before-answer")]
#[case("publish.after-intent")]
#[case("publish.after-parquet")]
#[case("publish.before-commit")]
#[case("commit.before-log")]
#[case("commit.after-log")]
#[case("publish.after-commit")]
#[case("publish.after-catalog")]
#[tokio::test]
async fn an_upload_killed_at_a_named_point_is_whole_or_absent_and_a_retry_makes_one(#[case] point: &str) {
    let Some(mut app) = TestApp::start(options(Sqlite)).await else { return };
    let acme = app.customer("acme").await;
    let csv = csv();
    armed(&mut app, point).await;
    let acknowledged = try_upload(&acme, &csv).await;
    back(&mut app, point).await;
    whole_or_absent(&acme, "killed", acknowledged).await;
    let retried = try_upload(&acme, &csv).await;
    assert!(retried, "the retry with the same key was not acknowledged");
    whole_or_absent(&acme, "killed", true).await;
    assert_eq!(acme.get("/v1/datasets").await.data().as_array().unwrap().len(), 1);
}

#[rstest]
#[case("materialise.after-query")]
#[case("materialise.before-commit")]
#[case("materialise.after-commit")]
#[case("publish.before-commit")]
#[case("commit.after-log")]
#[case("publish.after-catalog")]
#[tokio::test]
async fn a_run_of_an_analysis_killed_at_a_named_point_ends_once_after_the_restart(#[case] point: &str) {
    let Some(mut app) = TestApp::start(options(Sqlite)).await else { return };
    let acme = app.customer("acme").await;
    acme.upload("numbers", "n\n1\n2\n3\n").await.created();
    let stored_sum = json!({"sql": "SELECT sum(n) AS s FROM my.numbers", "kind": "table"});
    let first = acme.put("/v1/analyses/total", stored_sum).await.created()["meta"]["run"].take();
    acme.finished(first.as_str().unwrap().trim_start_matches("/v1/jobs/")).await;
    let more = Upload::new("numbers", "n\n4\n").field("mode", "append");
    assert!(acme.upload_form(more).await.status.is_success());
    armed(&mut app, point).await;
    let run =
        acme.request(reqwest::Method::POST, "/v1/analyses/total/runs").header("prefer", "respond-async");
    let _ = run.json(&json!({})).send().await;
    back(&mut app, point).await;
    let jobs = acme.get("/v1/jobs").await.data();
    for job in jobs.as_array().unwrap() {
        let ended = acme.finished(job["id"].as_str().unwrap()).await;
        assert_eq!(ended["status"], "succeeded", "{ended}");
    }
    assert_eq!(jobs.as_array().unwrap().len(), 2, "{jobs}");
    assert_eq!(acme.get("/v1/tables/my/total/rows").await.data(), json!([{"s": 10}]));
}

#[rstest]
#[case("source.log-committed")]
#[case("source.after-raw")]
#[case("source.after-row")]
#[case("publish.after-intent")]
#[case("publish.before-commit")]
#[case("commit.before-log")]
#[case("commit.after-log")]
#[case("publish.after-commit")]
#[case("publish.after-catalog")]
#[tokio::test]
async fn events_of_a_batch_killed_at_a_named_point_count_once(#[case] point: &str) {
    let folder = lake([("us-jfk", "JFK", 40.6398, -73.7789)], without_weather);
    let own = Options { lake_file: Some(folder), sources: true, ..options(Sqlite) };
    let Some(mut app) = TestApp::start(own).await else { return };
    let acme = app.customer("acme").await;
    armed(&mut app, point).await;
    let now = chrono::Utc::now().to_rfc3339();
    let event =
        |n: u32| json!({"event_id": format!("e{n}"), "event_time": now, "region_id": "us-jfk", "price": n});
    let events = json!([event(1), event(2), event(3)]);
    let push = app.operator.request(reqwest::Method::POST, "/v1/events/d").json(&events);
    let acknowledged = push.send().await.is_ok_and(|answer| answer.status().as_u16() == 202);
    back(&mut app, point).await;
    if !acknowledged {
        app.operator.post("/v1/events/d", events).await.status(202);
    }
    let summary = settled(&acme).await;
    assert_eq!((&summary["events"], &summary["price_mean"]), (&json!(3), &json!(2.0)));
}

/// The market of the region once it has three events, and two batches later.
async fn settled(acme: &Customer) -> Value {
    let market = async || acme.get("/v1/regions/us-jfk/summary").await.data()["market"]["latest"].take();
    for _ in 0..200 {
        if market().await["events"].as_i64().is_some_and(|events| events >= 3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    market().await
}

/// The regular share of the long run: kills at random moments of uploads, appends and materialisations.
#[tokio::test]
async fn fifty_kills_at_random_moments_lose_nothing_acknowledged() {
    let Some(mut app) = TestApp::start(options(Sqlite)).await else { return };
    let acme = app.customer("acme").await;
    acme.upload("ledger", "n\n0\n").await.created();
    let stored_sum = json!({"sql": "SELECT sum(n) AS s FROM my.ledger", "kind": "table"});
    assert!(acme.put("/v1/analyses/ledger_sum", stored_sum).await.status.is_success());
    let mut acknowledged = vec![0];
    let mut sent = 0i64;
    for round in 0..faults(50, 300) as u64 {
        let writer = tokio::spawn(append_until_dead(acme.clone(), sent));
        tokio::time::sleep(Duration::from_millis(5 + round * 7919 % 180)).await;
        app.kill();
        let (mut seen, last) = writer.await.unwrap();
        acknowledged.append(&mut seen);
        sent = last;
        app.resume().await;
        check_ledger(&acme, &acknowledged, sent).await;
    }
    assert!(acknowledged.len() > 25, "only {} writes were acknowledged", acknowledged.len());
    nothing_is_left(&app.folder.join("objects")).await;
}

/// Appends 1, 2, 3 … as rows of their own and stores the sum now and then, until the server is gone.
async fn append_until_dead(acme: Customer, mut last: i64) -> (Vec<i64>, i64) {
    let mut acknowledged = Vec::new();
    loop {
        last += 1;
        let part = reqwest::multipart::Part::text(format!("n\n{last}\n")).file_name("l.csv");
        let form =
            reqwest::multipart::Form::new().text("name", "ledger").text("mode", "append").part("file", part);
        let request = acme.request(reqwest::Method::POST, "/v1/datasets").multipart(form);
        match request.send().await {
            Ok(answer) => {
                let accepted = answer.status().is_success();
                if answer.bytes().await.is_ok() && accepted {
                    acknowledged.push(last);
                }
            }
            Err(_) => return (acknowledged, last),
        }
        if last % 3 == 0 {
            let run = acme.request(reqwest::Method::POST, "/v1/analyses/ledger_sum/runs").json(&json!({}));
            let _ = run.send().await;
        }
    }
}

/// Every acknowledged number is there, once; of the others at most those that were sent.
async fn check_ledger(acme: &Customer, acknowledged: &[i64], sent: i64) {
    let rows = acme.sql("SELECT n, count(*) AS c FROM my.ledger GROUP BY n ORDER BY n").await.data();
    let rows: Vec<(i64, i64)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row: &Value| (row["n"].as_i64().unwrap(), row["c"].as_i64().unwrap()))
        .collect();
    assert!(rows.iter().all(|&(n, count)| count == 1 && n <= sent), "{rows:?}");
    for n in acknowledged {
        assert!(rows.iter().any(|(row, _)| row == n), "{n} was acknowledged and is lost");
    }
}
