//! Years of the past in one go: asked once, whatever ends the process meanwhile, seen and ended by the operator.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use harness::Stack::Sqlite;
use harness::{Options, TestApp, WeatherStub, project_root};
use serde_json::{Value, json};

use crate::nyc;

/// Calls on their way at a time.
const AHEAD: usize = 4;
/// 26 months of hours and 3 years of days.
const RANGE: [&str; 6] = ["backfill", "c", "--from", "2011-11-20", "--to", "2013-12-31"];
const CALLS: usize = 29;

/// A server that asks no source by itself, and a stub that takes its time.
async fn server(pause: Duration, env: &[(&str, &str)]) -> Option<(TestApp, WeatherStub, usize)> {
    let stations = nyc::stations(&project_root().join("tests/data/nyc-hours.csv"));
    let has_value = |hour: &harness::Hour| *hour != harness::Hour::default();
    let hours = stations.iter().flat_map(|s| s.hours.values()).filter(|hour| has_value(hour)).count();
    let stub = WeatherStub::start_slow(stations, pause).unwrap();
    let own = Options { sources: false, ..nyc::with_lake(Sqlite, &stub.url) };
    let mut app = TestApp::start(own).await?;
    if !env.is_empty() {
        app.kill();
        app.set_env(env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
        app.resume().await;
        app.set_env(Vec::new());
    }
    Some((app, stub, hours))
}

fn spawn(app: &TestApp) -> Child {
    let mut command = app.command(&RANGE);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The operator's one job once it runs and something of it is done.
async fn running(app: &TestApp) -> Value {
    for _ in 0..200 {
        let job = app.operator.get("/v1/jobs").await.ok()["data"].get(0).cloned().unwrap_or_default();
        if job["status"] == "running" && job["progress"]["percent"].as_f64() > Some(0.0) {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no job runs:\n{}", app.log())
}

/// The first day of a call for hours.
fn month_of_hours(query: &str) -> Option<&str> {
    let day = query.split("start_date=").nth(1)?.split('&').next()?;
    Some(day).filter(|_| query.contains("hourly="))
}

/// Queries that were answered twice.
fn twice(asked: &[String]) -> Vec<&String> {
    let mut seen = BTreeSet::new();
    asked.iter().filter(|query| !seen.insert(*query)).collect()
}

#[tokio::test]
async fn a_backfill_that_was_killed_goes_on_and_asks_for_nothing_it_has() {
    // The server dies when the answers of the ninth call are in the raw area and nothing else knows of them.
    let env = [("LAKEFRONT_FAILPOINTS", "source.after-raw#9")];
    let Some((mut app, stub, hours)) = server(Duration::from_millis(60), &env).await else { return };
    let mut verb = spawn(&app);
    assert!(app.ended(Duration::from_secs(30)).await, "the failpoint was not reached");
    verb.kill().unwrap();
    verb.wait().unwrap();
    let before = stub.asked();
    assert!((9..9 + AHEAD).contains(&before.len()), "{}", before.len());
    app.resume().await;
    // The job goes on from its row; the same verb waits for it, and finds nothing to do.
    let done = app.verb(&RANGE);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let done: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done["batches"], 0, "{done}");
    let asked = stub.asked();
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), CALLS);
    // What was in the air is asked again, and nothing before it: not the ninth month of hours either.
    let again = twice(&asked);
    assert!(again.len() < AHEAD, "asked twice: {again:?}");
    assert!(again.iter().all(|query| month_of_hours(query) > Some("2012-07-01")), "asked twice: {again:?}");
    let jobs = app.operator.get("/v1/jobs").await.data();
    let ended: Vec<&Value> = jobs.as_array().unwrap().iter().map(|job| &job["status"]).collect();
    assert_eq!(ended, ["succeeded", "succeeded"]);
    let acme = app.customer("acme").await;
    let rows = acme.sql("SELECT count(*) AS n FROM weather.hourly").await.data();
    assert_eq!(rows, json!([{ "n": hours }]));
}

#[tokio::test]
async fn an_operator_sees_a_backfill_and_ends_it_and_nobody_else_does() {
    let Some((app, stub, _)) = server(Duration::from_millis(1_200), &[]).await else { return };
    let verb = spawn(&app);
    let job = running(&app).await;
    assert_eq!((&job["kind"], &job["pipeline"]), (&json!("backfill"), &json!("c")), "{job}");
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let acme = app.customer("acme").await;
    assert_eq!(acme.get("/v1/jobs").await.data(), json!([]));
    acme.get(&path).await.problem(404, "unknown-job");
    acme.get(&format!("{path}/result")).await.problem(404, "unknown-job");
    acme.delete(&path).await.problem(404, "unknown-job");
    app.operator.delete(&path).await.status(200);
    let ended = verb.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("was cancelled"));
    assert_eq!(app.operator.get(&path).await.data()["status"], "cancelled");
    assert!(stub.count() < CALLS, "{} calls", stub.count());
}

/// What was asked since the last look, hours alone: first and last day.
fn hours_since(stub: &WeatherStub, seen: &mut usize) -> Vec<String> {
    let asked = stub.asked();
    let new = asked[*seen..].iter().filter(|query| query.contains("hourly="));
    let day = |query: &str, key: &str| query.split(key).nth(1).unwrap()[..10].to_owned();
    let mut days: Vec<String> =
        new.map(|query| format!("{} {}", day(query, "start_date="), day(query, "end_date="))).collect();
    *seen = asked.len();
    days.sort();
    days
}

#[tokio::test]
async fn a_range_that_overlaps_asks_for_the_rest_alone_unless_all_is_wanted_again() {
    let Some((app, stub, _)) = server(Duration::ZERO, &[]).await else { return };
    let mut seen = 0;
    let mut ask = |from: &str, to: &str, more: &[&str]| {
        let done = app.verb(&[&["backfill", "c", "--from", from, "--to", to], more].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        hours_since(&stub, &mut seen)
    };
    assert_eq!(ask("2013-03-05", "2013-03-10", &[]), ["2013-03-05 2013-03-10"]);
    assert_eq!(ask("2013-03-01", "2013-03-12", &[]), ["2013-03-01 2013-03-04", "2013-03-11 2013-03-12"]);
    assert_eq!(ask("2013-03-02", "2013-03-11", &[]), Vec::<String>::new());
    assert_eq!(ask("2013-03-02", "2013-03-11", &["--again"]), ["2013-03-02 2013-03-11"]);
}
