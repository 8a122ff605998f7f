//! Source D by way of a Kafka topic: acknowledged by the brokers, in the table once, whatever dies in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use harness::Stack::Sqlite;
use harness::{Customer, Kafka, Options, TestApp};
use rstest::rstest;
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::shared::options;

const JFK: [(&str, &str, f64, f64); 1] = [("us-jfk", "JFK", 40.6398, -73.7789)];
const TOPIC: &str = "market-events";

/// A lake whose source D is a topic of these brokers, with more of its settings.
fn settings(servers: &str, more: &str) -> Options {
    let section = format!("[sources.d.kafka]\nservers = [\"{servers}\"]\ntopic = \"{TOPIC}\"\n{more}\n\n");
    let folder = lake(JFK, |definition| {
        let definition = without_weather(definition).replacen("every = \"2s\"", "every = \"1s\"", 1);
        definition.replacen("[sources.market_history]", &format!("{section}[sources.market_history]"), 1)
    });
    Options { lake_file: Some(folder), sources: true, ..options(Sqlite) }
}

fn event(id: &str, at: DateTime<Utc>) -> Value {
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({"event_id": id, "event_time": at, "region_id": "us-jfk", "price": 2.5})
}

/// Every event of the table, by id.
async fn ids(acme: &Customer) -> Vec<String> {
    let sql = "SELECT event_id FROM market.events ORDER BY event_id";
    let rows = acme.post("/v1/sql", json!({"sql": sql, "limit": 100_000})).await.data();
    rows.as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the table has so many events, or half a minute.
async fn until(acme: &Customer, events: usize) -> Vec<String> {
    let since = Instant::now();
    loop {
        let found = ids(acme).await;
        if found.len() >= events || since.elapsed() > Duration::from_secs(30) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn what_is_posted_is_served_once_and_what_is_no_event_is_set_aside() {
    let Some(kafka) = Kafka::start(&[TOPIC]) else { return };
    let Some(mut app) = TestApp::start(settings(&kafka.servers, "")).await else { return };
    let acme = app.customer("acme").await;
    let now = Utc::now();
    let (one, two, late) = (event("e1", now), event("e2", now), event("e3", now - TimeDelta::days(7)));
    for events in [json!([one, two]), json!([two, late])] {
        let taken = app.operator.post("/v1/events/d", events).await.status(202).json();
        assert_eq!(taken["data"]["accepted"], 2);
    }
    let sender = kafka.sender(TOPIC).unwrap();
    sender.send(&format!("{one}\nno event\n{{\"event_id\": \"e9\"}}\n{}\n", event("e4", now))).unwrap();
    sender.acknowledged().unwrap();
    assert_eq!(until(&acme, 4).await, ["e1", "e2", "e3", "e4"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let market = acme.get("/v1/regions/us-jfk/market?from=2000-01-01&to=2100-01-01").await.data();
    let days: Vec<i64> =
        market.as_array().unwrap().iter().map(|day| day["events"].as_i64().unwrap()).collect();
    assert_eq!(days, [1, 3], "a late event has a day of its own: {market}");
    let metrics = app.operator.get("/metrics").await.text();
    assert!(metrics.contains("lakefront_source_messages_set_aside_total{source=\"d\"} 2"), "{metrics}");

    let rows = "SELECT * FROM market.events ORDER BY event_id";
    let before = acme.sql(rows).await.data();
    app.kill();
    let again = app.verb(&["rebuild", "--from", "raw"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    app.resume().await;
    assert_eq!(acme.sql(rows).await.data(), before);
}

#[rstest]
#[case("source.topic-acknowledged")]
#[case("source.after-raw")]
#[case("source.after-row")]
#[case("publish.before-commit")]
#[case("commit.after-log")]
#[case("publish.after-commit")]
#[case("publish.after-catalog")]
#[tokio::test]
async fn events_of_a_topic_killed_at_a_named_point_count_once(#[case] point: &str) {
    let Some(kafka) = Kafka::start(&[TOPIC]) else { return };
    let Some(mut app) = TestApp::start(settings(&kafka.servers, "")).await else { return };
    let acme = app.customer("acme").await;
    app.kill();
    app.set_env(vec![("LAKEFRONT_FAILPOINTS".into(), point.into())]);
    app.resume().await;
    let now = Utc::now();
    let events = json!([event("e1", now), event("e2", now), event("e1", now)]);
    let push = app.operator.request(reqwest::Method::POST, "/v1/events/d").json(&events);
    let acknowledged = push.send().await.is_ok_and(|answer| answer.status().as_u16() == 202);
    assert!(app.ended(Duration::from_secs(20)).await, "the failpoint {point} was not reached");
    app.set_env(Vec::new());
    app.resume().await;
    if !acknowledged {
        app.operator.post("/v1/events/d", events).await.status(202);
    }
    until(&acme, 2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ids(&acme).await, ["e1", "e2"]);
}

/// A stream as it is in the world, the same for the same seed.
struct Generator {
    seed: u64,
    made: Vec<Value>,
}

impl Generator {
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    /// The next events: a tenth was there before, a fifth is out of order, a hundredth is days late.
    fn next(&mut self, many: usize) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        while events.len() < many {
            if !self.made.is_empty() && self.random(10) == 0 {
                let again = self.random(self.made.len() as u64);
                events.push(self.made[usize::try_from(again).unwrap()].clone());
                continue;
            }
            let late = match self.random(100) {
                0 => TimeDelta::days(1 + self.random(7).cast_signed()),
                1..=20 => TimeDelta::seconds(self.random(3_600).cast_signed()),
                _ => TimeDelta::zero(),
            };
            let made = event(&format!("e{:06}", self.made.len()), Utc::now() - late);
            self.made.push(made.clone());
            events.push(made);
        }
        events
    }
}

/// Posts events until told to stop, each batch until it is acknowledged; the ids of those that are.
async fn post(operator: Customer, stop: Arc<std::sync::atomic::AtomicBool>) -> (BTreeSet<String>, usize) {
    let mut generator = Generator { seed: 20_261_121, made: Vec::new() };
    let (mut acknowledged, mut posted) = (BTreeSet::new(), 0);
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let events = generator.next(40);
        loop {
            let push = operator.request(reqwest::Method::POST, "/v1/events/d").json(&events);
            match push.timeout(Duration::from_secs(30)).send().await {
                Ok(answer) if answer.status().as_u16() == 202 => break,
                Ok(answer) => assert_eq!(answer.status().as_u16(), 503, "only later, never no"),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        posted += events.len();
        acknowledged.extend(events.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (acknowledged, posted)
}

#[tokio::test]
async fn kills_at_random_moments_leave_every_event_of_the_topic_in_the_table_exactly_once() {
    let Some(kafka) = Kafka::start(&[TOPIC]) else { return };
    let Some(mut app) = TestApp::start(settings(&kafka.servers, "timeout = \"3s\"")).await else { return };
    let acme = app.customer("acme").await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let poster = tokio::spawn(post(app.operator.clone(), Arc::clone(&stop)));
    let sender = kafka.sender(TOPIC).unwrap();
    for round in 0..12_u64 {
        sender.send(&format!("poison {round}\n[1, 2]\n")).unwrap();
        tokio::time::sleep(Duration::from_millis(300 + round * 7_919 % 2_100)).await;
        if round % 4 == 3 {
            kafka.freeze();
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            kafka.thaw();
        }
        app.kill();
        app.resume().await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let (acknowledged, posted) = poster.await.unwrap();
    sender.acknowledged().unwrap();
    let found = until(&acme, acknowledged.len()).await;
    let distinct: BTreeSet<String> = found.iter().cloned().collect();
    assert_eq!(found.len(), distinct.len(), "an event counts twice");
    let lost: Vec<_> = acknowledged.difference(&distinct).take(5).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(distinct, acknowledged, "nothing but what was posted");
    assert!(acknowledged.len() > 500 && posted > acknowledged.len(), "{posted} were posted");
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_a_503_and_nothing_is_lost_when_they_are_back() {
    let Some(kafka) = Kafka::start(&[TOPIC]) else { return };
    let Some(mut app) = TestApp::start(settings(&kafka.servers, "timeout = \"2s\"")).await else { return };
    let acme = app.customer("acme").await;
    let (operator, now) = (app.operator.clone(), Utc::now());
    operator.post("/v1/events/d", json!([event("e1", now)])).await.status(202);
    until(&acme, 1).await;
    kafka.freeze();
    let since = Instant::now();
    let refused = operator.post("/v1/events/d", json!([event("e2", now)])).await;
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    assert!(!refused.header("retry-after").is_empty());
    refused.problem(503, "lake-unavailable");
    acme.get("/v1/regions/us-jfk/summary").await.ok();
    tokio::time::sleep(Duration::from_secs(2)).await;
    kafka.thaw();
    let since = Instant::now();
    while operator.post("/v1/events/d", json!([event("e2", now)])).await.status.as_u16() != 202 {
        assert!(since.elapsed() < Duration::from_secs(20), "still refused: {}", app.log());
    }
    assert_eq!(until(&acme, 2).await, ["e1", "e2"]);
    assert!(app.runs());
}

#[tokio::test]
async fn a_topic_without_the_next_offset_stops_the_source_until_it_may_go_on_at_the_oldest() {
    let (Some(first), Some(second)) = (Kafka::start(&[TOPIC]), Kafka::start(&[TOPIC])) else { return };
    let own = settings(&first.servers, "");
    let file = own.lake_file.clone().unwrap().join("lake.toml");
    let Some(mut app) = TestApp::start(own).await else { return };
    let (acme, now) = (app.customer("acme").await, Utc::now());
    app.operator.post("/v1/events/d", json!([event("e1", now), event("e2", now)])).await.status(202);
    until(&acme, 2).await;
    app.kill();
    let change = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from));
        std::fs::write(&file, text.replace(from, to)).unwrap();
    };
    change(&first.servers, &second.servers);
    app.resume().await;
    app.operator.post("/v1/events/d", json!([event("e2", now), event("e3", now)])).await.status(202);
    let mut said = String::new();
    for _ in 0..100 {
        said = String::from_utf8_lossy(&app.verb(&["status"]).stdout).into_owned();
        if said.contains("the source stands still") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(said.contains("the source stands still") && said.contains("after_gap"), "{said}");
    assert!(app.log().contains("stream-gap"), "{}", app.log());
    assert_eq!(ids(&acme).await, ["e1", "e2"], "nothing is skipped in silence");
    app.kill();
    change("[sources.d.kafka]", "[sources.d.kafka]\nafter_gap = \"oldest\"");
    app.resume().await;
    assert_eq!(until(&acme, 3).await, ["e1", "e2", "e3"]);
}
