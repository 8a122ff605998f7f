//! Jobs of customers: ended by their owner alone, and kept over a kill of the server.

use std::time::Duration;

use harness::Stack::Sqlite;
use harness::{Customer, Options, TestApp, Upload};
use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::heavy::{ENDLESS, WIDE_ROWS, busy_worker, upload_wide};
use crate::kill::{armed, back};
use crate::orphans::nothing_is_left;
use crate::shared::{app, options};

const COUNT: &str = "SELECT count(*) AS n FROM my.wide";

/// The id of the job that a statement was accepted as.
async fn accepted(acme: &Customer, prefer: &str, sql: &str) -> String {
    let asked = acme.request(Method::POST, "/v1/sql").header("prefer", prefer).json(&json!({ "sql": sql }));
    let job = acme.send(asked).await.status(202).json();
    job["data"]["id"].as_str().unwrap().to_owned()
}

async fn status(acme: &Customer, job: &str) -> String {
    let job = acme.get(&format!("/v1/jobs/{job}")).await.data();
    job["status"].as_str().unwrap().to_owned()
}

/// Waits until somebody is at a job that does not end.
async fn at_work(acme: &Customer, job: &str) {
    for _ in 0..600 {
        match status(acme, job).await.as_str() {
            "queued" => tokio::time::sleep(Duration::from_millis(50)).await,
            status => return assert_eq!(status, "running"),
        }
    }
    panic!("nobody was at the job within half a minute");
}

/// The job of [`COUNT`] is done, and what it found can be fetched.
async fn counted(acme: &Customer, job: &str) {
    assert_eq!(acme.finished(job).await["status"], "succeeded");
    let result = acme.get(&format!("/v1/jobs/{job}/result")).await.data();
    assert_eq!(result, json!([{ "n": WIDE_ROWS }]));
}

#[rstest]
#[case::accepted_at_once("respond-async")]
#[case::outgrown("wait=1")]
#[tokio::test]
async fn a_running_statement_is_cancelled_by_its_owner_alone(#[case] prefer: &str) {
    let Some(app) = app(Sqlite).await else { return };
    let (acme, globex) = (app.customer("acme").await, app.customer("globex").await);
    upload_wide(&acme).await;
    let job = accepted(&acme, prefer, ENDLESS).await;
    let path = format!("/v1/jobs/{job}");
    at_work(&acme, &job).await;
    globex.delete(&path).await.problem(404, "unknown-job");
    assert_eq!(status(&acme, &job).await, "running");
    acme.delete(&path).await.status(200);
    assert_eq!(acme.finished(&job).await["status"], "cancelled");
    acme.get(&format!("{path}/result")).await.problem(422, "job-failed");
    // One that has ended stays as it is, and its worker is free for the next.
    assert_eq!(acme.delete(&path).await.data()["status"], "cancelled");
    counted(&acme, &accepted(&acme, "respond-async", COUNT).await).await;
}

#[tokio::test]
async fn statements_that_were_accepted_are_begun_again_after_a_kill() {
    let config = "[workers]\ncount = 4\nper_workspace = 2\n".to_owned();
    let Some(mut app) = TestApp::start(Options { config, ..options(Sqlite) }).await else { return };
    let acme = app.customer("acme").await;
    upload_wide(&acme).await;
    let endless = accepted(&acme, "respond-async", ENDLESS).await;
    busy_worker(&app).await;
    // It waits for the one place that the workspace has for long work.
    let count = accepted(&acme, "respond-async", COUNT).await;
    assert_ne!(status(&acme, &count).await, "succeeded");
    app.kill();
    app.resume().await;
    busy_worker(&app).await;
    assert_eq!(status(&acme, &endless).await, "running");
    acme.delete(&format!("/v1/jobs/{endless}")).await.status(200);
    assert_eq!(acme.finished(&endless).await["status"], "cancelled");
    counted(&acme, &count).await;
}

#[rstest]
#[case("upload.after-conversion")]
#[case("commit.before-log")]
#[case("commit.after-log")]
#[tokio::test]
async fn an_upload_that_was_accepted_is_done_once_after_a_kill_at_a_named_point(#[case] point: &str) {
    let Some(mut app) = TestApp::start(options(Sqlite)).await else { return };
    let acme = app.customer("acme").await;
    armed(&mut app, point).await;
    // Long enough that the answer is out before the point is reached.
    let rows: String = (0..100_000).map(|n| format!("{n},word {n}\n")).collect();
    let upload = Upload::new("kept", format!("n,word\n{rows}")).prefer("respond-async");
    let job = acme.upload_form(upload).await.status(202).json()["data"]["id"].take();
    back(&mut app, point).await;
    let job = acme.finished(job.as_str().unwrap()).await;
    assert_eq!((&job["status"], &job["result"]), (&json!("succeeded"), &json!("/v1/datasets/kept")), "{job}");
    let found = acme.sql("SELECT count(*) AS n, count(DISTINCT n) AS d FROM my.kept").await.data();
    assert_eq!(found, json!([{"n": 100_000, "d": 100_000}]));
    nothing_is_left(&app.folder.join("objects")).await;
}
