//! What runs by the clock, and the same by hand: once, whoever plans it and whatever dies meanwhile.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use harness::Stack::{Postgres, Sqlite};
use harness::{Options, TestApp};
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::shared::options;

const JFK: [(&str, &str, f64, f64); 1] = [("us-jfk", "JFK", 40.6398, -73.7789)];

/// A lake whose source A is asked every other second, by the calendar, and each missed time is made up for.
fn by_the_clock() -> PathBuf {
    lake(JFK, |definition| {
        without_weather(definition).replace(
            "[sources.a]",
            "[schedules.often]\ncron = \"*/2 * * * * *\"\ntimezone = \"Europe/Rome\"\nrun = \"a\"\ncatch_up = \"each\"\n\n[sources.a]",
        )
    })
}

/// The planned times of all runs, as many as there are jobs.
async fn planned(app: &TestApp) -> Vec<(DateTime<Utc>, Value)> {
    let jobs = app.operator.get("/v1/jobs?limit=1000").await.data();
    let mut planned: Vec<_> = jobs
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|job| Some((job["planned_at"].as_str()?.parse().unwrap(), job["status"].clone())))
        .collect();
    planned.sort_by_key(|(at, _)| *at);
    planned
}

/// Each planned time has one job, and none is left out.
fn one_each(planned: &[(DateTime<Utc>, Value)]) {
    for pair in planned.windows(2) {
        assert_eq!(pair[1].0 - pair[0].0, TimeDelta::seconds(2), "{planned:?}");
    }
}

#[tokio::test]
async fn of_two_nodes_on_one_database_one_runs_what_is_due() {
    let own = Options { lake_file: Some(by_the_clock()), sources: true, ..options(Postgres) };
    let Some(first) = TestApp::start(own).await else { return };
    let second = first.second().await.unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let planned = planned(&second).await;
    assert!(planned.len() >= 4, "{planned:?}");
    one_each(&planned);
    assert!(planned.iter().filter(|(_, status)| *status == "succeeded").count() >= 3, "{planned:?}");
}

#[tokio::test]
async fn a_node_killed_between_a_run_and_its_note_runs_it_once_and_makes_up_for_what_it_missed() {
    let own = Options { lake_file: Some(by_the_clock()), sources: true, ..options(Sqlite) };
    let Some(mut app) = TestApp::start(own).await else { return };
    app.kill();
    app.set_env(vec![("LAKEFRONT_FAILPOINTS".into(), "schedule.after-job".into())]);
    // It dies as soon as something is due, maybe before it says that it is ready.
    let mut server = app.command(&["serve"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let since = std::time::Instant::now();
    while server.try_wait().unwrap().is_none() && since.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.try_wait().unwrap().is_some(), "the failpoint was not reached");
    app.set_env(Vec::new());
    tokio::time::sleep(Duration::from_secs(5)).await;
    app.resume().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let planned = planned(&app).await;
    one_each(&planned);
    assert!(planned.len() >= 5, "{planned:?}");
    assert!(planned.iter().filter(|(_, status)| *status == "succeeded").count() >= 4, "{planned:?}");
}

#[tokio::test]
async fn a_scheduled_run_that_was_killed_is_done_after_the_restart_and_lands_its_file_once() {
    let folder = lake(JFK, |definition| {
        without_weather(definition).replacen("every = \"1m\"", "cron = \"*/2 * * * * *\"", 1)
    });
    let own = Options { lake_file: Some(folder), sources: true, ..options(Sqlite) };
    let Some(mut app) = TestApp::start(own).await else { return };
    app.kill();
    app.set_env(vec![("LAKEFRONT_FAILPOINTS".into(), "source.after-row".into())]);
    app.resume().await;
    let csv = "region_id,activity_index,visits\nus-jfk,101.5,12\n";
    std::fs::write(app.folder.join("sources/inbox/a/20260310.csv"), csv).unwrap();
    assert!(app.ended(Duration::from_secs(30)).await, "the failpoint was not reached");
    app.set_env(Vec::new());
    app.resume().await;
    let acme = app.customer("acme").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let rows = acme.sql("SELECT day, visits FROM source_a.activity").await.data();
    assert_eq!(rows, json!([{"day": "2026-03-07", "visits": 12}]));
    let planned = planned(&app).await;
    let times: BTreeSet<_> = planned.iter().map(|(at, _)| *at).collect();
    assert_eq!(times.len(), planned.len(), "{planned:?}");
    let ended = planned.iter().rev().skip(1);
    assert!(
        ended.clone().count() >= 2 && ended.clone().all(|(_, status)| status == "succeeded"),
        "{planned:?}"
    );
}

fn told(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_verb_beside_a_server_is_a_job_of_it_and_its_key_makes_it_one() {
    let folder = lake(JFK, without_weather);
    let own = Options { lake_file: Some(folder), ..options(Sqlite) };
    let Some(mut app) = TestApp::start(own).await else { return };
    let csv = "region_id,activity_index,visits\nus-jfk,101.5,12\n";
    std::fs::write(app.folder.join("sources/inbox/a/20260310.csv"), csv).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let keyed = ["run", "a", "--idempotency-key", "2026-03-10"];
    let first = told(&app.verb(&keyed));
    assert_eq!((&first["source"], &first["rows"]), (&json!("a"), &json!(1)));
    assert_eq!(told(&app.verb(&keyed)), first);
    // The server did it: it has the rows at once.
    let acme = app.customer("acme").await;
    let count = acme.sql("SELECT count(*) AS n FROM source_a.activity").await.data();
    assert_eq!(count, json!([{"n": 1}]));
    let path = format!("/v1/jobs/{}", first["job"].as_str().unwrap());
    let job = app.operator.get(&path).await.data();
    assert_eq!(
        (&job["kind"], &job["pipeline"], &job["status"]),
        (&json!("run"), &json!("a"), &json!("succeeded"))
    );
    assert_eq!(app.operator.get(&format!("{path}/result")).await.data()["rows"], 1);
    acme.get(&path).await.problem(404, "unknown-job");
    let other = app.verb(&["run", "b", "--idempotency-key", "2026-03-10"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("belongs to another run"));
    let maintained = told(&app.verb(&["run", "maintenance"]));
    assert!(maintained["tables"].as_array().unwrap().contains(&json!("source_a.activity")), "{maintained}");
    // Without a server the verb does it itself.
    app.kill();
    assert_eq!(told(&app.verb(&["run", "weather.daily"]))["source"], "weather.daily");
    assert_eq!(app.verb(&["run", "nothing"]).status.code(), Some(1));
}
