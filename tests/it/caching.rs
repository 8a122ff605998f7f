//! Versions and tags: what has not changed for a region is 304, what has is not, and nothing crosses customers.

use std::time::Duration;

use harness::Stack::{self, Postgres, Sqlite};
use harness::{Customer, Options, TestApp, WeatherStub, project_root};
use rstest::rstest;
use serde_json::json;

use crate::lakes::{lake, without_weather};
use crate::nyc;
use crate::shared::{app, options};

async fn airports(stack: Stack) -> Option<(TestApp, WeatherStub)> {
    let stations = nyc::stations(&project_root().join("tests/data/nyc-hours.csv"));
    nyc::start(stack, stations, "2013-03-01", "2013-03-20").await
}

fn event(region: &str, n: u32, price: f64) -> serde_json::Value {
    let time = chrono::Utc::now().to_rfc3339();
    json!({"event_id": format!("{region}-{n}"), "event_time": time, "region_id": region, "price": price, "interest": 50.0})
}

/// Asks until the tag differs from `old`; the new tag.
async fn changed(customer: &Customer, path: &str, old: &str) -> String {
    for _ in 0..100 {
        let answer = customer.get_if_changed(path, old).await;
        if answer.status.as_u16() == 200 {
            return answer.header("etag").to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} did not change within ten seconds");
}

#[rstest]
#[tokio::test]
async fn a_commit_changes_the_tags_of_its_regions_alone(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some((app, _stub)) = airports(stack).await else { return };
    let acme = app.customer("acme").await;
    let path = |region: &str| format!("/v1/regions/{region}/summary");
    let (ewr, jfk) = (path("us-ewr"), path("us-jfk"));
    let tag_of = |answer: &harness::Answer| answer.header("etag").to_owned();
    let (first_ewr, first_jfk) = (acme.get(&ewr).await.status(200), acme.get(&jfk).await.status(200));
    acme.get_if_changed(&jfk, &tag_of(&first_jfk)).await.status(304);
    app.operator
        .post("/v1/events/d", json!([event("us-jfk", 1, 10.0), event("us-jfk", 2, 20.0)]))
        .await
        .status(202);
    changed(&acme, &jfk, &tag_of(&first_jfk)).await;
    let summary = acme.get(&jfk).await.data();
    assert_eq!(summary["market"]["latest"]["events"], 2, "{summary}");
    assert_eq!(summary["market"]["latest"]["price_mean"], 15.0);
    acme.get_if_changed(&ewr, &tag_of(&first_ewr)).await.status(304);
}

#[tokio::test]
async fn an_event_told_twice_counts_once() {
    let Some((app, _stub)) = airports(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let path = "/v1/regions/us-lga/summary";
    let tag = acme.get(path).await.status(200).header("etag").to_owned();
    let twice = json!([event("us-lga", 1, 10.0), event("us-lga", 1, 10.0)]);
    app.operator.post("/v1/events/d", twice.clone()).await.status(202);
    changed(&acme, path, &tag).await;
    app.operator.post("/v1/events/d", twice).await.status(202);
    app.operator.post("/v1/events/d", event("us-lga", 2, 30.0)).await.status(202);
    for _ in 0..100 {
        if acme.get(path).await.data()["market"]["latest"]["events"] == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let latest = &acme.get(path).await.data()["market"]["latest"];
    assert_eq!((&latest["events"], &latest["price_mean"]), (&json!(2), &json!(20.0)));
}

#[tokio::test]
async fn two_credentials_of_one_customer_and_two_customers_share_a_platform_answer() {
    let Some((app, _stub)) = airports(Sqlite).await else { return };
    let (acme, globex) = (app.customer("acme").await, app.customer("globex").await);
    let path = "/v1/regions/us-ewr/summary?window=7d";
    let tag = acme.get(path).await.status(200).header("etag").to_owned();
    globex.get_if_changed(path, &tag).await.status(304);
    let token = acme.send(acme.request(reqwest::Method::POST, "/v1/tokens")).await.ok();
    acme.with_key(token["access_token"].as_str().unwrap()).get_if_changed(path, &tag).await.status(304);
}

#[tokio::test]
async fn an_answer_says_how_it_may_be_cached() {
    let Some((app, _stub)) = airports(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let path = "/v1/regions/us-ewr/summary";
    acme.get(path).await.status(200);
    let answer = acme.get(path).await.status(200);
    assert!(answer.header("cache-control").contains("private"), "{:?}", answer.headers);
    let vary = answer.header("vary").to_lowercase();
    assert!(vary.contains("authorization") && vary.contains("accept"), "{vary}");
    assert!(answer.header("cache-status").contains("hit"), "{:?}", answer.headers);
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
}

#[tokio::test]
async fn cached_reads_and_304s_are_free_of_quota() {
    let Some((app, _stub)) = airports(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let path = "/v1/regions/us-ewr/summary";
    let tag = acme.get(path).await.status(200).header("etag").to_owned();
    let remaining = |answer: &harness::Answer| answer.header("ratelimit").to_owned();
    let before = acme.get_if_changed(path, &tag).await.status(304);
    for _ in 0..50 {
        acme.get_if_changed(path, &tag).await.status(304);
    }
    let after = acme.get_if_changed(path, &tag).await.status(304);
    assert!(!remaining(&before).is_empty());
    assert_eq!(remaining(&before).split(';').nth(1), remaining(&after).split(';').nth(1));
}

#[tokio::test]
async fn a_table_that_becomes_overdue_changes_tag_and_body_without_a_commit() {
    let folder = lake([("us-jfk", "JFK", 40.6398, -73.7789)], |definition| {
        without_weather(definition).replace("promise = \"10m\"", "promise = \"4s\"")
    });
    let own = Options { lake_file: Some(folder), sources: true, ..options(Sqlite) };
    let Some(app) = TestApp::start(own).await else { return };
    let (acme, path) = (app.customer("acme").await, "/v1/regions/us-jfk/summary");
    let first = acme.get(path).await.status(200).header("etag").to_owned();
    app.operator.post("/v1/events/d", event("us-jfk", 1, 10.0)).await.status(202);
    changed(&acme, path, &first).await;
    let overdue = async |word: bool| {
        for _ in 0..100 {
            let answer = acme.get(path).await.status(200);
            let tables = answer.json()["meta"]["tables"].take();
            let market =
                tables.as_array().unwrap().iter().find(|t| t["name"] == "market.daily").unwrap().clone();
            if market["overdue"] == word {
                return (market["version"].clone(), answer.header("etag").to_owned());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("`overdue` did not become {word} within ten seconds");
    };
    let (fresh_version, fresh_tag) = overdue(false).await;
    let (late_version, late_tag) = overdue(true).await;
    assert_eq!(fresh_version, late_version);
    assert_ne!(fresh_tag, late_tag);
    acme.get_if_changed(path, &fresh_tag).await.status(200);
    acme.get_if_changed(path, &late_tag).await.status(304);
}

#[rstest]
#[case("gzip")]
#[case("br")]
#[case("zstd")]
#[tokio::test]
async fn an_answer_is_packed_as_its_reader_can_and_known_by_either_tag(#[case] coding: &'static str) {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let rows: String = (0..2_000).map(|n| format!("{n}\n")).collect();
    acme.upload("numbers", &format!("n\n{rows}")).await.created();
    let path = "/v1/tables/my/numbers/rows?limit=2000&format=csv";
    let plain = acme.get(path).await.status(200);
    let ask = || acme.request(reqwest::Method::GET, path).header("accept-encoding", coding);
    let packed = acme.send(ask()).await.status(200);
    assert_eq!(packed.header("content-encoding"), coding);
    assert!(packed.header("vary").to_lowercase().contains("accept-encoding"));
    assert!(packed.body.len() * 2 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
    assert_ne!(packed.header("etag"), plain.header("etag"));
    for tag in [plain.header("etag"), packed.header("etag")] {
        acme.get_if_changed(path, tag).await.status(304);
        acme.send(ask().header("if-none-match", tag)).await.status(304);
    }
}
