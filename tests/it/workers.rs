//! What a worker process may use: who wants more is told which limit it was, and nobody else notices.

use std::time::Duration;

use harness::Stack::Sqlite;
use harness::{Answer, Customer, Options, TestApp, Upload};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::heavy::{ENDLESS, WIDE_ROWS, busy_worker, upload_wide};
use crate::shared::options;

/// Little for a task, and patience enough to see how it ends.
const NARROW: &str = "[workers]\ncount = 4\nper_workspace = 2\nmemory_bytes = 67108864\nspill_bytes = 1048576\n\
                      [queries]\ninline_ms = 30000\n[uploads]\nrows = 40000\n";

/// Little time.
const SHORT: &str = "[workers]\ncount = 4\nper_workspace = 2\n[queries]\ninline_ms = 3000\njob_secs = 6\n";

async fn server(config: &str) -> Option<TestApp> {
    TestApp::start(Options { config: config.to_owned(), ..options(Sqlite) }).await
}

/// What a statement is answered; until then another customer reads what is cached.
async fn beside_a_reader(app: &TestApp, acme: &Customer, sql: String) -> Answer {
    let (acme, globex, path) = (acme.clone(), app.customer("globex").await, "/v1/tables/my/kept/rows");
    globex.upload_form(Upload::new("kept", "n\n1\n").prefer("wait=30")).await.created();
    globex.get(path).await.status(200);
    let asked = tokio::spawn(async move { acme.sql(&sql).await });
    while !asked.is_finished() {
        let read = globex.get(path).await.status(200);
        assert!(read.header("cache-status").contains("hit"), "{:?}", read.headers);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    asked.await.unwrap()
}

/// The process that was started still runs, and serves the next statement.
async fn serves_on(app: &mut TestApp, acme: &Customer) {
    assert_eq!(acme.sql("SELECT 1 AS n").await.data(), json!([{"n": 1}]));
    assert!(app.runs());
}

fn id_of(job: &Value) -> String {
    job["data"]["id"].as_str().unwrap().to_owned()
}

/// The job has failed with this problem.
fn failed(job: &Value, code: &str, detail: &str) {
    let problem = &job["problem"];
    assert_eq!((&job["status"], &problem["status"]), (&json!("failed"), &json!(422)), "{job}");
    assert_eq!((&problem["code"], &problem["detail"]), (&json!(code), &json!(detail)));
}

/// Six lists, none of them longer than one may be: together they are more than the process may have, and less than the
/// engine's own count of its memory allows.
fn hungry() -> String {
    let list = |n: usize| format!("array_length(array_agg(concat(a.w, b.w, '{n}'))) AS n{n}");
    let lists: Vec<String> = (1..=6).map(list).collect();
    format!("SELECT {} FROM my.wide a JOIN my.wide b ON a.k = b.k", lists.join(", "))
}

#[tokio::test]
async fn a_statement_over_the_memory_of_a_task_is_told_so_and_others_are_served_meanwhile() {
    let Some(mut app) = server(NARROW).await else { return };
    let acme = app.customer("acme").await;
    upload_wide(&acme).await;
    let problem = beside_a_reader(&app, &acme, hungry()).await.problem(422, "query-too-large");
    assert_eq!(problem.detail, "the query was stopped: it needs more memory than a task may use");
    let count = acme.sql("SELECT count(*) AS n FROM my.wide").await.data();
    assert_eq!(count, json!([{ "n": WIDE_ROWS }]));
    serves_on(&mut app, &acme).await;
}

#[tokio::test]
async fn a_run_that_writes_a_larger_file_than_a_task_may_is_told_so_and_stores_nothing() {
    let Some(mut app) = server(NARROW).await else { return };
    let acme = app.customer("acme").await;
    upload_wide(&acme).await;
    // Digests in hex pack into half their size at best: three times what fits.
    let sql =
        "SELECT md5(concat(a.t, b.t)) AS digest FROM my.wide a JOIN my.wide b ON a.k = b.k LIMIT 200000";
    let table = json!({"sql": sql, "kind": "table"});
    let run = acme.put("/v1/analyses/digests", table).await.created()["meta"]["run"].take();
    let job = acme.finished(run.as_str().unwrap().trim_start_matches("/v1/jobs/")).await;
    let detail = "the statement was stopped: it writes a larger file than a task may write";
    failed(&job, "query-too-large", detail);
    acme.get("/v1/tables/my/digests/rows").await.problem(409, "conflict");
    serves_on(&mut app, &acme).await;
}

/// A record with all columns, and many with none: each of them has a cell for each column.
fn sparse() -> String {
    let keys: Vec<String> = (0..1_500).map(|n| format!("\"c{n}\":1")).collect();
    format!("{{{}}}\n{}", keys.join(","), "{}\n".repeat(37_000))
}

#[tokio::test]
async fn a_file_over_a_limit_of_its_conversion_is_told_which_and_leaves_nothing() {
    let Some(mut app) = server(NARROW).await else { return };
    let acme = app.customer("acme").await;
    let memory = "the file could not be converted: it needs more memory than a task may use";
    let rows = "the file has more than the 40000 rows that one may have";
    let long = format!("n\n{}", "1\n".repeat(40_001));
    for (name, content, detail) in [("a.ndjson", sparse(), memory), ("a.csv", long, rows)] {
        let upload = Upload::new("over", content).file_name(name);
        assert_eq!(acme.upload_form(upload).await.problem(422, "file-malformed").detail, detail);
        assert_eq!(acme.get("/v1/datasets").await.data(), json!([]), "{name}");
    }
    acme.upload("over", "n\n1\n").await.created();
    serves_on(&mut app, &acme).await;
}

#[tokio::test]
async fn a_statement_becomes_a_job_when_its_caller_has_waited_long_enough_and_ends_when_its_time_is_over() {
    let Some(mut app) = server(SHORT).await else { return };
    let acme = app.customer("acme").await;
    upload_wide(&acme).await;
    let accepted = beside_a_reader(&app, &acme, ENDLESS.to_owned()).await.status(202);
    let path = accepted.header("location").to_owned();
    let job = acme.finished(&id_of(&accepted.json())).await;
    failed(&job, "query-timeout", "the query took longer than 6 s");
    assert_eq!(acme.get(&path).await.data(), job);
    acme.get(&format!("{path}/result")).await.problem(422, "query-timeout");
    serves_on(&mut app, &acme).await;
}

#[tokio::test]
async fn a_worker_that_is_killed_from_outside_costs_its_statement_and_nothing_else() {
    let Some(mut app) = server(NARROW).await else { return };
    let acme = app.customer("acme").await;
    upload_wide(&acme).await;
    let asking = acme.clone();
    let asked = tokio::spawn(async move { asking.sql(ENDLESS).await });
    let worker = i32::try_from(busy_worker(&app).await).unwrap();
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    // Nobody here has killed it, so it was the system, which does so when memory is short.
    let problem = asked.await.unwrap().problem(422, "query-too-large");
    assert_eq!(problem.detail, "the query was stopped: it needs more memory than a task may use");
    serves_on(&mut app, &acme).await;
}
