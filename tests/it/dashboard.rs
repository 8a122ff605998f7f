//! A wall of a thousand regions that is asked every few seconds: what has not changed costs a 304.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures::StreamExt;
use harness::{Customer, Options, Stack, TestApp};
use serde_json::json;

use crate::lakes::{lake, without_weather};
use crate::shared::options;

const REGIONS: usize = 1_000;
const CHANGED_A_SECOND: usize = 10;
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;

fn region(n: usize) -> String {
    format!("us-r{n:04}")
}

async fn server() -> Option<TestApp> {
    let names: Vec<String> = (0..REGIONS).map(region).collect();
    let places = names.iter().map(|name| (name.as_str(), name.as_str(), 40.0, -74.0));
    let folder = lake(places, without_weather);
    TestApp::start(Options { lake_file: Some(folder), sources: true, ..options(Stack::Sqlite) }).await
}

/// One event each for the ten regions of this second.
async fn push(operator: &Customer, second: usize) {
    let events: Vec<_> = (0..CHANGED_A_SECOND)
        .map(|n| {
            let region = region(second * CHANGED_A_SECOND + n);
            json!({"event_id": format!("{region}-{second}"), "event_time": Utc::now().to_rfc3339(),
                   "region_id": region, "price": 10.0, "interest": 50.0})
        })
        .collect();
    operator.post("/v1/events/d", json!(events)).await.status(202);
}

/// Asks for all regions with the tags of before; the regions that have changed.
async fn poll(customer: &Customer, tags: &mut HashMap<String, String>) -> Vec<String> {
    let asks = (0..REGIONS).map(|n| {
        let (customer, region) = (customer.clone(), region(n));
        let tag = tags.get(&region).cloned().unwrap_or_else(|| "\"none\"".to_owned());
        async move {
            let answer = customer.get_if_changed(&format!("/v1/regions/{region}/summary"), &tag).await;
            (region, answer)
        }
    });
    let answers: Vec<_> = futures::stream::iter(asks).buffer_unordered(16).collect().await;
    let mut changed = Vec::new();
    for (region, answer) in answers {
        if answer.status.as_u16() != 304 {
            tags.insert(region.clone(), answer.status(200).header("etag").to_owned());
            changed.push(region);
        }
    }
    changed
}

#[tokio::test]
async fn of_a_thousand_regions_only_those_with_news_are_sent_again() {
    let Some(app) = server().await else { return };
    let acme = Customer { http: reqwest::Client::new(), ..app.customer("acme").await };
    let (mut tags, mut second) = (HashMap::new(), 0);
    assert_eq!(poll(&acme, &mut tags).await.len(), REGIONS);
    let (mut sent_again, mut asked) = (0, 0);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        while began.elapsed() < ROUND {
            push(&app.operator, second).await;
            second += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        sent_again += poll(&acme, &mut tags).await.len();
        asked += REGIONS;
    }
    tokio::time::sleep(ROUND).await;
    sent_again += poll(&acme, &mut tags).await.len();
    asked += REGIONS;
    let with_news = second * CHANGED_A_SECOND;
    let (not_modified, expected) = (asked - sent_again, asked - with_news);
    assert!(not_modified * 100 >= expected * 98, "{not_modified} of {expected} expected 304s");
    assert!(sent_again >= with_news, "{sent_again} of {with_news} regions with news were sent");
}
