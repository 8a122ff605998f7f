//! Source D's poller: what a service has comes once, whatever the service does, and the position is never ahead of it.

use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use harness::Stack::Sqlite;
use harness::{Customer, Options, PollFault, PollStub, TestApp};
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::shared::options;

const JFK: [(&str, &str, f64, f64); 1] = [("us-jfk", "JFK", 40.6398, -73.7789)];

/// A lake whose source D asks this service each second; `topic`: the brokers and topic that it goes through.
fn settings(url: &str, topic: Option<(&str, &str)>) -> Options {
    let fields = r#"{ event_id = "id", event_time = "ts", region_id = "zone", price = "px.value" }"#;
    let kafka = topic.map_or(String::new(), |(servers, topic)| {
        format!("[sources.d.kafka]\nservers = [\"{servers}\"]\ntopic = \"{topic}\"\n\n")
    });
    let poll = format!(
        "[sources.d.poll]\nurl = \"{url}?after={{position}}&limit=50\"\nevery = \"1s\"\nfirst = \"0\"\n\
         events = \"data.items\"\npaging.cursor = \"meta.next\"\nfields = {fields}\nallow_private = true\n\
         answer_limit_bytes = 1048576\n\n{kafka}"
    );
    let folder = lake(JFK, |definition| {
        let definition = without_weather(definition).replacen("every = \"2s\"", "every = \"1s\"", 1);
        definition.replacen("[sources.market_history]", &format!("{poll}[sources.market_history]"), 1)
    });
    Options { lake_file: Some(folder), sources: true, ..options(Sqlite) }
}

/// An event in the service's words.
fn item(n: usize) -> Value {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({"id": n, "ts": now, "zone": "us-jfk", "px": {"value": "2.5"}})
}

async fn events(acme: &Customer) -> (i64, i64) {
    let sql = "SELECT count(*) AS n, count(DISTINCT event_id) AS d FROM market.events";
    let row = acme.sql(sql).await.data()[0].take();
    (row["n"].as_i64().unwrap(), row["d"].as_i64().unwrap())
}

/// Waits until the table has so many events, or a minute; what it has then.
async fn until(acme: &Customer, many: i64) -> (i64, i64) {
    let since = Instant::now();
    loop {
        let found = events(acme).await;
        if found.0 >= many || since.elapsed() > Duration::from_secs(60) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_services_events_come_once_through_every_fault_and_kill() {
    let stub = PollStub::start().unwrap();
    stub.add((0..120).map(item));
    let Some(mut app) = TestApp::start(settings(&stub.url, None)).await else { return };
    let acme = app.customer("acme").await;
    assert_eq!(until(&acme, 120).await, (120, 120));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(stub.answered(304) > 0, "a page that stays the same is not sent again");
    use PollFault::{Broken, Busy, Huge, Redirect, Renamed, Truncated};
    for fault in [Broken, Busy, Truncated, Renamed, Redirect, Huge] {
        let many = events(&acme).await.0 + 1;
        stub.fail([fault]);
        stub.add([item((many - 1).try_into().unwrap())]);
        assert_eq!(until(&acme, many).await, (many, many), "after {fault:?}: {}", app.log());
        assert!(stub.is_well());
    }
    // One that is no event does not hold up the others.
    stub.add([json!({"id": "x", "ts": "never", "zone": "us-jfk"}), item(126)]);
    assert_eq!(until(&acme, 127).await, (127, 127));
    let metrics = app.operator.get("/metrics").await.text();
    assert!(metrics.contains("lakefront_source_messages_set_aside_total{source=\"d\"} 1"), "{metrics}");

    app.kill();
    stub.add((127..200).map(item));
    app.set_env(vec![("LAKEFRONT_FAILPOINTS".into(), "source.polled".into())]);
    // It dies as soon as it has asked, maybe before it says that it is ready.
    app.launch();
    assert!(app.ended(Duration::from_secs(60)).await, "the failpoint was not reached");
    app.set_env(Vec::new());
    app.resume().await;
    assert_eq!(until(&acme, 200).await, (200, 200));
}

#[tokio::test]
async fn a_failing_service_is_shown_with_its_reason_and_what_came_before_is_served() {
    let stub = PollStub::start().unwrap();
    stub.add((0..3).map(item));
    let Some(app) = TestApp::start(settings(&stub.url, None)).await else { return };
    let acme = app.customer("acme").await;
    assert_eq!(until(&acme, 3).await, (3, 3));
    stub.fail([PollFault::Renamed; 50]);
    let mut said = String::new();
    for _ in 0..100 {
        said = String::from_utf8_lossy(&app.verb(&["status"]).stdout).into_owned();
        if said.contains("none of the 1 events of a page fits") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(said.contains("d.poll") && said.contains("none of the 1 events of a page fits"), "{said}");
    assert_eq!(events(&acme).await, (3, 3));
}

#[cfg(feature = "kafka")]
#[tokio::test]
async fn a_services_events_go_through_the_topic_where_there_is_one() {
    let Some(kafka) = harness::Kafka::start(&["polled"]) else { return };
    let stub = PollStub::start().unwrap();
    stub.add((0..70).map(item));
    let own = settings(&stub.url, Some((&kafka.servers, "polled")));
    let Some(app) = TestApp::start(own).await else { return };
    let acme = app.customer("acme").await;
    assert_eq!(until(&acme, 70).await, (70, 70));
    assert_eq!(kafka.count("polled").unwrap().0, 70);
}
