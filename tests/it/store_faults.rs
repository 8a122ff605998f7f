//! An object store on which calls go wrong: what was acknowledged is there once and whole, everybody else is told to
//! try again, and when it is over all is well within seconds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{Answer, CallFault, Customer, FaultProxy, Options, S3, Stack, TestApp, Upload, faults};
use rstest::rstest;
use serde_json::json;

use crate::lakes::{lake, without_weather};
use crate::shared::{options, spoken};

/// A request's own deadline, with a little for a busy machine.
const DEADLINE: Duration = Duration::from_secs(15);
/// How soon all is well again.
const RECOVERY: Duration = Duration::from_secs(5);
const ROWS: usize = 50;

/// An object store, and the proxy before it.
pub async fn store(seed: u64) -> Option<(S3, FaultProxy)> {
    let store = S3::start().await?;
    let proxy = FaultProxy::start(&store.url(), seed).unwrap();
    Some((store, proxy))
}

/// A lake in a bucket, behind the proxy.
pub async fn server(seed: u64) -> Option<(S3, FaultProxy, TestApp)> {
    let (store, proxy) = store(seed).await?;
    let folder = lake([("us-jfk", "JFK", 40.6398, -73.7789)], without_weather);
    let (storage, lake_file) = (Some(S3::storage_at(&proxy.url)), Some(folder));
    let own = Options { storage, lake_file, sources: true, ..options(Stack::Sqlite) };
    let app = TestApp::start(own).await?;
    Some((store, proxy, app))
}

/// What a client has been told.
#[derive(Debug, Default)]
struct Told {
    /// Datasets of which a 201 came back.
    datasets: BTreeSet<usize>,
    /// Numbers of the ledger whose append was acknowledged.
    numbers: BTreeSet<usize>,
    /// Events that were acknowledged.
    events: usize,
    refused: usize,
}

/// An answer of a disturbed server: done, or to be tried again.
fn is_done(answer: &Answer, took: Duration) -> bool {
    assert!(took < DEADLINE, "{took:?} {}", answer.text());
    match answer.status.as_u16() {
        200..=204 => true,
        409 | 429 => false,
        status => {
            assert_eq!(status, 503, "{}", answer.text());
            assert!(!answer.header("retry-after").is_empty(), "{}", answer.text());
            false
        }
    }
}

/// One upload until it is done, each time with the same key; `None` when it is over before.
async fn until_done(
    acme: &Customer,
    told: &mut Told,
    over: &AtomicBool,
    upload: impl Fn() -> Upload,
) -> bool {
    loop {
        let since = Instant::now();
        let answer = acme.upload_form(upload()).await;
        if answer.status.as_u16() == 202 {
            let job = answer.json()["data"]["id"].as_str().unwrap().to_owned();
            return acme.finished(&job).await["status"] == "succeeded";
        }
        if is_done(&answer, since.elapsed()) {
            return true;
        }
        told.refused += 1;
        if over.load(Ordering::Relaxed) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn csv() -> String {
    (0..ROWS).fold(String::from("n,word\n"), |csv, row| csv + &format!("{row},word {row}\n"))
}

fn dataset(n: usize) -> Upload {
    Upload::new(&format!("set_{n}"), csv()).idempotency_key(&format!("set-{n}"))
}

fn number(n: usize) -> Upload {
    Upload::new("ledger", format!("n\n{n}\n")).field("mode", "append").idempotency_key(&format!("number-{n}"))
}

/// New datasets and appends, one after the other, until it is over.
async fn uploads(acme: Customer, over: Arc<AtomicBool>) -> Told {
    let mut told = Told::default();
    for n in 1.. {
        if until_done(&acme, &mut told, &over, || number(n)).await {
            told.numbers.insert(n);
        }
        if n % 3 == 0 && until_done(&acme, &mut told, &over, || dataset(n)).await {
            told.datasets.insert(n);
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    told
}

/// Events of the region, ten at a time, until it is over.
async fn events(operator: Customer, over: Arc<AtomicBool>) -> Told {
    let mut told = Told::default();
    let now = chrono::Utc::now().to_rfc3339();
    while !over.load(Ordering::Relaxed) {
        let event = |n: usize| json!({"event_id": format!("e{}", told.events + n), "event_time": now, "region_id": "us-jfk", "price": 1});
        let since = Instant::now();
        let answer = operator.post("/v1/events/d", (0..10).map(event).collect()).await;
        match is_done(&answer, since.elapsed()) {
            true => told.events += 10,
            false => told.refused += 1,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    told
}

/// Reads of all kinds, until it is over.
async fn reads(acme: Customer, over: Arc<AtomicBool>) -> Told {
    let mut told = Told::default();
    for n in 0.. {
        let since = Instant::now();
        let answer = match n % 3 {
            0 => acme.get("/v1/regions/us-jfk/summary").await,
            1 => acme.get(&format!("/v1/tables/my/before/rows?limit={}", 1 + n % 40)).await,
            _ => acme.sql(&format!("SELECT count(*) AS n, {n} AS a FROM my.before")).await,
        };
        match is_done(&answer, since.elapsed()) {
            true if n % 3 == 2 => assert_eq!(answer.data()[0]["n"], ROWS),
            true => {}
            false => told.refused += 1,
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    told
}

/// Everybody at work while the store is disturbed; gives what they were told, and checks that all is well soon after.
async fn disturbed(
    app: &TestApp,
    acme: &Customer,
    proxy: &FaultProxy,
    percent: u64,
    kinds: &[CallFault],
) -> Told {
    let over = Arc::new(AtomicBool::new(false));
    let uploading = tokio::spawn(uploads(acme.clone(), over.clone()));
    let pushing = tokio::spawn(events(app.operator.clone(), over.clone()));
    let reading = tokio::spawn(reads(acme.clone(), over.clone()));
    proxy.disturb(percent, kinds);
    tokio::time::sleep(Duration::from_secs(faults(10, 120) as u64)).await;
    proxy.calm();
    let since = Instant::now();
    all_is_well(acme, since).await;
    over.store(true, Ordering::Relaxed);
    let (mut told, pushed, read) = (uploading.await.unwrap(), pushing.await.unwrap(), reading.await.unwrap());
    told.events = pushed.events;
    told.refused += pushed.refused + read.refused;
    told
}

/// Within seconds a new upload is taken, and what was there is read.
async fn all_is_well(acme: &Customer, since: Instant) {
    loop {
        let upload = Upload::new("after", "n\n1\n").field("mode", "replace");
        let (upload, read) =
            (acme.upload_form(upload).await, acme.sql("SELECT sum(n) AS s FROM my.before").await);
        if upload.status.is_success() && read.status.is_success() {
            return;
        }
        assert!(since.elapsed() < RECOVERY, "{} {}", upload.text(), read.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What was acknowledged is there, whole and once; what was not is absent or whole.
async fn nothing_is_lost_or_doubled(acme: &Customer, told: &Told) {
    let listed = acme.get("/v1/datasets").await.data();
    let names: BTreeSet<String> =
        listed.as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap().to_owned()).collect();
    for n in &told.datasets {
        assert!(names.contains(&format!("set_{n}")), "set_{n} was acknowledged and is not there: {names:?}");
    }
    for name in names.iter().filter(|name| name.starts_with("set_")) {
        let rows =
            acme.sql(&format!("SELECT count(*) AS n, count(DISTINCT n) AS d FROM my.{name}")).await.data();
        assert_eq!(rows, json!([{"n": ROWS, "d": ROWS}]), "{name}");
    }
    let rows = acme.sql("SELECT n, count(*) AS c FROM my.ledger GROUP BY n ORDER BY n").await.data();
    let found: Vec<(u64, u64)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["n"].as_u64().unwrap(), row["c"].as_u64().unwrap()))
        .collect();
    assert!(found.iter().all(|(_, count)| *count == 1), "doubled: {found:?}");
    for n in &told.numbers {
        assert!(
            found.iter().any(|(found, _)| *found == *n as u64),
            "{n} was acknowledged and is lost: {found:?}"
        );
    }
}

/// Each event that was acknowledged counts once, soon.
async fn events_count_once(app: &TestApp, acme: &Customer, told: &Told) {
    let since = Instant::now();
    loop {
        let market = acme.get("/v1/regions/us-jfk/summary").await.data()["market"]["latest"].take();
        if market["events"].as_u64() == Some(told.events as u64) {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{market}, not {}\n{}", told.events, spoken(app));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[rstest]
#[case::errors(30, &[CallFault::Status(500), CallFault::Status(503), CallFault::Status(429)])]
#[case::late(100, &[CallFault::Slow(Duration::from_secs(2))])]
#[case::never(3, &[CallFault::Hang])]
#[case::cut_off(20, &[CallFault::Cut])]
#[case::not_told(10, &[CallFault::Unacknowledged])]
#[case::done_when_nobody_waits(5, &[CallFault::Late(Duration::from_secs(8))])]
#[tokio::test]
async fn faults_of_the_store_lose_and_double_nothing(#[case] percent: u64, #[case] kinds: &[CallFault]) {
    let Some((_store, proxy, mut app)) = server(percent).await else { return };
    let acme = app.customer("acme").await;
    acme.upload_form(Upload::new("before", csv())).await.created();
    acme.upload_form(Upload::new("ledger", "n\n0\n")).await.created();
    let told = disturbed(&app, &acme, &proxy, percent, kinds).await;
    assert!(proxy.faults() > 0 && told.events > 0, "{} faults, {} events", proxy.faults(), told.events);
    assert!(!told.numbers.is_empty() && !told.datasets.is_empty(), "{told:?}");
    nothing_is_lost_or_doubled(&acme, &told).await;
    events_count_once(&app, &acme, &told).await;
    // Another process finds the same.
    app.kill();
    app.resume().await;
    nothing_is_lost_or_doubled(&acme, &told).await;
    events_count_once(&app, &acme, &told).await;
}

#[tokio::test]
async fn a_commit_that_the_store_does_when_nobody_waits_any_more_is_whole_and_the_retry_makes_no_second() {
    let Some((_store, proxy, app)) = server(7).await else { return };
    let acme = app.customer("acme").await;
    acme.upload_form(Upload::new("ledger", "n\n0\n")).await.created();
    let since = Instant::now();
    proxy.disturb_writes("_delta_log", CallFault::Late(Duration::from_secs(20)));
    let refused = acme.upload_form(number(1)).await;
    assert_eq!(refused.status.as_u16(), 503, "{}", refused.text());
    assert!(since.elapsed() < Duration::from_secs(18), "{:?}", since.elapsed());
    proxy.calm();
    // By now the first of its puts is done.
    tokio::time::sleep(Duration::from_secs(23).saturating_sub(since.elapsed())).await;
    assert!(acme.upload_form(number(1)).await.status.is_success());
    assert!(acme.upload_form(number(2)).await.status.is_success());
    let rows = acme.sql("SELECT n, count(*) AS c FROM my.ledger GROUP BY n ORDER BY n").await.data();
    assert_eq!(rows, json!([{"n": 0, "c": 1}, {"n": 1, "c": 1}, {"n": 2, "c": 1}]));
}
