//! Sources that misbehave: nothing wrong lands, what was there is served with its age, and in the end the tables are
//! those of sources that behave.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use harness::CallFault::{Cut, Endless, Hang, Redirect, Renamed, Rubbish, Shifted, Status};
use harness::Stack::Sqlite;
use harness::{
    CallFault, Contents, Customer, FaultProxy, FileStub, Options, Random, TestApp, WeatherStub, project_root,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::nyc::{AIRPORTS, asking, followed, stations};
use crate::shared::{options, spoken};

const PATIENCE: Duration = Duration::from_secs(60);
const MARCH: [&str; 6] = ["backfill", "c", "--from", "2013-03-01", "--to", "2013-03-19"];

/// A server whose weather comes over the proxy, and nobody asks by himself.
async fn server(proxy: &FaultProxy, change: impl FnOnce(String) -> String) -> Option<TestApp> {
    let lake_file = lake(AIRPORTS, |definition| {
        let impatient = asking(&proxy.url, definition).replace("timeout = \"30s\"", "timeout = \"1s\"");
        change(impatient)
    });
    TestApp::start(Options { lake_file: Some(lake_file), ..options(Sqlite) }).await
}

fn weather() -> (WeatherStub, FaultProxy) {
    let stub = WeatherStub::start_foreseeing(
        stations(&project_root().join("tests/data/nyc-hours.csv")),
        Duration::ZERO,
    );
    let stub = stub.unwrap();
    let proxy = FaultProxy::start(&stub.url, 3).unwrap();
    (stub, proxy)
}

#[tokio::test]
async fn a_weather_archive_that_answers_wrongly_fills_nothing_and_is_asked_again() {
    let (_stub, proxy) = weather();
    let Some(calm) = server(&proxy, |definition| definition).await else { return };
    assert!(calm.verb(&MARCH).status.success());
    followed().await;
    let expected = Contents::of(&calm.customer("acme").await).await;
    assert!(expected.count("weather.hourly") > 1_000 && expected.count("weather.daily") > 50);
    drop(calm);
    let Some(app) = server(&proxy, |definition| definition).await else { return };
    let acme = app.customer("acme").await;
    let wrong = [
        Rubbish,
        Cut,
        Shifted(-24),
        Shifted(2),
        Shifted(-2),
        Status(304),
        Status(429),
        Status(500),
        Renamed("temperature_2m", "air_temperature"),
        Renamed("inch", "cubit"),
        Redirect("http://127.0.0.1:1/v1/archive"),
        Endless,
        Hang,
    ];
    for fault in wrong {
        proxy.disturb(100, &[fault]);
        let ended = app.verb(&MARCH);
        assert!(!ended.status.success(), "{fault:?}");
        assert!(ended.status.code().is_some_and(|code| code == 1 || code == 75), "{fault:?} {ended:?}");
        followed().await;
        let rows = acme.sql("SELECT count(*) AS n FROM weather.hourly").await.data();
        assert_eq!(rows[0]["n"], 0, "{fault:?}");
    }
    proxy.calm();
    let done = app.verb(&MARCH);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    followed().await;
    assert_eq!(Contents::of(&acme).await.difference(&expected), None);
}

#[tokio::test]
async fn a_forecast_of_another_time_than_its_issue_lands_nothing_and_is_asked_for_again() {
    let (_stub, proxy) = weather();
    let Some(app) = server(&proxy, |definition| definition).await else { return };
    let acme = app.customer("acme").await;
    let ask = || app.verb(&["run", "c.forecast"]);
    let count = async || {
        followed().await;
        acme.sql("SELECT count(*) AS n FROM weather.forecast").await.data()[0]["n"].as_i64().unwrap()
    };
    // All of it past, some of it past, and by a clock that is two hours off.
    for hours in [-240, -48, 2, -2] {
        proxy.disturb(100, &[Shifted(hours)]);
        let ended = ask();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains("is not about"), "{hours}: {said}");
    }
    assert_eq!(count().await, 0);
    proxy.calm();
    let done = ask();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(count().await > 0);
}

/// A metric of the server, 0 where it is not told.
async fn metric(app: &TestApp, name: &str) -> f64 {
    let text = app.operator.get("/metrics").await.status(200).text();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[rstest]
#[case(Rubbish)]
#[case(Status(500))]
#[case(Endless)]
#[tokio::test]
async fn weather_that_does_not_come_is_counted_and_the_last_is_served_with_its_age(#[case] fault: CallFault) {
    let (_stub, proxy) = weather();
    let late = |definition: String| {
        let eager = definition.replace("forecast_every = \"1h\"", "forecast_every = \"2s\"");
        eager.replacen("promise = \"3h\"", "promise = \"6s\"", 2)
    };
    let Some(mut app) = server(&proxy, late).await else { return };
    app.kill();
    app.set_env(vec![("LAKEFRONT__LAKE__SOURCES".into(), "true".into())]);
    app.resume().await;
    let acme = app.customer("acme").await;
    let path = "/v1/regions/us-jfk/forecast";
    let forecast = async || acme.get(path).await.ok();
    until(&app, async || forecast().await["data"].as_array().is_some_and(|hours| !hours.is_empty())).await;
    until(&app, async || !overdue(&forecast().await)).await;
    proxy.disturb(100, &[fault]);
    let counter = "lakefront_source_failures_total{source=\"c.forecast\"}";
    until(&app, async || metric(&app, counter).await >= 1.0).await;
    until(&app, async || overdue(&forecast().await)).await;
    assert!(!forecast().await["data"].as_array().unwrap().is_empty());
    let status = app.verb(&["status"]);
    assert_eq!(status.status.code(), Some(2));
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let source = status["sources"].as_array().unwrap().iter().find(|s| s["source"] == "c.forecast").unwrap();
    assert!(source["failures"].as_u64().unwrap() >= 1 && !source["why"].is_null(), "{source}");
    proxy.calm();
    until(&app, async || !overdue(&forecast().await)).await;
}

/// Whether the forecast's own table is late.
fn overdue(answer: &Value) -> bool {
    let tables = answer["meta"]["tables"].as_array().unwrap();
    tables.iter().any(|table| table["name"] == "weather.forecast" && table["overdue"] == true)
}

async fn until(app: &TestApp, mut holds: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < PATIENCE, "{}", spoken(app));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A lake whose source A is a partner's listing, asked each second.
async fn with_partner(url: &str) -> Option<TestApp> {
    let folder = lake(AIRPORTS, |definition| {
        let from = format!(
            "from.http = {{ url = \"{url}/list.json\", allow_private = true, timeout = \"1s\" }}\n\
             file_limit_bytes = 5000000"
        );
        without_weather(definition).replacen(
            "from.folder = \"a\"\nevery = \"1m\"",
            &format!("{from}\nevery = \"1s\""),
            1,
        )
    });
    TestApp::start(Options { lake_file: Some(folder), ..options(Sqlite) }).await
}

/// Looks once at the partner's files.
fn look(app: &TestApp) -> bool {
    app.verb(&["run", "a"]).status.success()
}

async fn activity(acme: &Customer) -> Vec<String> {
    followed().await;
    let rows = acme.get("/v1/tables/source_a/activity/rows?order=day,region_id").await.data();
    let row = |row: &Value| format!("{} {}", row["day"].as_str().unwrap(), row["visits"]);
    rows.as_array().unwrap().iter().map(row).collect()
}

#[tokio::test]
async fn a_partners_files_land_once_and_whole_whatever_its_server_answers_between() {
    let stub = FileStub::start().unwrap();
    let proxy = FaultProxy::start(&stub.url, 5).unwrap();
    let Some(app) = with_partner(&proxy.url).await else { return };
    let acme = app.customer("acme").await;
    let csv = |visits: u32| format!("region_id,activity_index,visits\nus-jfk,0.5,{visits}\n");
    stub.put("/a-2021-10-04.csv", csv(1));
    assert!(look(&app));
    assert_eq!(activity(&acme).await, ["2021-10-01 1"]);
    stub.put("/a-2021-10-05.csv", csv(2));
    let wrong = [
        Cut,
        Status(304),
        Status(429),
        Status(500),
        Rubbish,
        Renamed("a-2021-10-05.csv", "gone.csv"),
        Redirect("http://127.0.0.1:1/list.json"),
        Endless,
        Hang,
    ];
    for fault in wrong {
        proxy.disturb(100, &[fault]);
        look(&app);
        assert_eq!(activity(&acme).await, ["2021-10-01 1"], "{fault:?}");
    }
    proxy.calm();
    assert!(look(&app));
    assert_eq!(activity(&acme).await, ["2021-10-01 1", "2021-10-02 2"]);
    // Yesterday's data again is none, under whatever name.
    stub.put("/copy-of-a-2021-10-04.csv", csv(1));
    assert!(look(&app));
    assert_eq!(activity(&acme).await, ["2021-10-01 1", "2021-10-02 2"]);
}

#[tokio::test]
async fn a_file_by_a_clock_two_hours_off_lands_at_once() {
    let Some(app) = with_weatherless().await else { return };
    let (acme, inbox) = (app.customer("acme").await, app.folder.join("sources/inbox/a"));
    std::fs::create_dir_all(&inbox).unwrap();
    for (day, off) in [(4, 2), (5, -2)] {
        let path = inbox.join(format!("a-2021-10-0{day}.csv"));
        std::fs::write(&path, format!("region_id,activity_index,visits\nus-jfk,0.5,{day}\n")).unwrap();
        let time = std::time::SystemTime::from(Utc::now() + TimeDelta::hours(off));
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    assert!(look(&app));
    assert_eq!(activity(&acme).await, ["2021-10-01 4", "2021-10-02 5"]);
}

async fn with_weatherless() -> Option<TestApp> {
    let folder = lake(AIRPORTS, without_weather);
    TestApp::start(Options { lake_file: Some(folder), ..options(Sqlite) }).await
}

/// Three hundred events of a week, some of them by a clock that is two hours ahead.
fn week() -> Vec<Value> {
    let (now, mut random) = (Utc::now(), Random::new(9));
    let event = |n: u64| {
        let region = AIRPORTS[usize::try_from(random.below(3)).unwrap()].0;
        let minutes = i64::try_from(random.below(7 * 24 * 60)).unwrap() - 120;
        json!({"event_id": format!("e{n}"), "event_time": now - TimeDelta::minutes(minutes), "region_id": region,
               "price": 10.0 + random.below(400) as f64 / 4.0, "interest": random.below(100)})
    };
    (0..300).map(event).collect()
}

/// Lands what is in the log of D.
fn land(app: &TestApp) {
    let done = app.verb(&["run", "d"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn events_twice_out_of_order_days_late_and_among_rubbish_give_the_tables_of_events_in_order() {
    let events = week();
    let Some(orderly) = with_weatherless().await else { return };
    let mut sorted = events.clone();
    sorted.sort_by_key(|event| event["event_time"].as_str().unwrap().to_owned());
    orderly.operator.post("/v1/events/d", sorted.into()).await.status(202);
    land(&orderly);
    followed().await;
    let expected = Contents::of(&orderly.customer("acme").await).await;
    assert_eq!(expected.count("market.events"), 300);
    let Some(app) = with_weatherless().await else { return };
    let mut random = Random::new(10);
    for piece in events.chunks(23) {
        app.operator.post("/v1/events/d", piece.into()).await.status(202);
        // One of those before again, and a push in which one is wrong: nothing of that one is taken.
        let again = &events[usize::try_from(random.below(events.len() as u64)).unwrap()];
        app.operator.post("/v1/events/d", json!([again])).await.status(202);
        let poison = json!([{"event_id": "p", "event_time": Utc::now(), "region_id": "us-jfk", "price": 1}, {"price": "?"}]);
        let refused = app.operator.post("/v1/events/d", poison).await;
        assert!(refused.status.is_client_error(), "{}", refused.text());
        if random.chance(40) {
            land(&app);
        }
    }
    land(&app);
    followed().await;
    assert_eq!(Contents::of(&app.customer("acme").await).await.difference(&expected), None);
}
