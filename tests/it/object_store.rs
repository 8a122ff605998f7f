//! The lake in an S3 bucket: what holds over a folder holds there.

use harness::{Customer, Options, S3, Stack, TestApp, Upload};
use serde_json::json;

use crate::lakes::{lake, without_weather};
use crate::shared::options;

async fn server(store: &S3) -> Option<TestApp> {
    let folder = lake([("us-jfk", "JFK", 40.6398, -73.7789)], without_weather);
    let own = Options {
        storage: Some(store.storage()),
        lake_file: Some(folder),
        sources: true,
        ..options(Stack::Sqlite)
    };
    TestApp::start(own).await
}

#[tokio::test]
async fn a_customers_tables_live_in_a_bucket_and_outlive_the_process() {
    let Some(store) = S3::start().await else { return };
    let Some(mut app) = server(&store).await else { return };
    let (acme, globex) = (app.customer("acme").await, app.customer("globex").await);
    acme.upload("sales", "sku,n\na,1\nb,2\n").await.created();
    let more = Upload::new("sales", "sku,n\nc,3\n").field("mode", "append");
    assert!(acme.upload_form(more).await.status.is_success());
    let doubled = json!({"sql": "SELECT sku, n * 2 AS n FROM my.sales", "kind": "table"});
    assert!(acme.put("/v1/analyses/doubled", doubled).await.status.is_success());
    let run = acme.post("/v1/analyses/doubled/runs", json!({})).await.json();
    assert_eq!(acme.finished(run["data"]["id"].as_str().unwrap()).await["status"], "succeeded");
    app.kill();
    app.resume().await;
    rows_are_there(&acme).await;
    globex.get("/v1/tables/my/sales/rows").await.problem(404, "unknown-table");
    acme.delete("/v1/datasets/sales").await.status(204);
    acme.get("/v1/tables/my/sales/rows").await.problem(404, "unknown-table");
}

async fn rows_are_there(acme: &Customer) {
    let rows = acme.get("/v1/tables/my/sales/rows?order=sku").await.data();
    assert_eq!(rows, json!([{"sku": "a", "n": 1}, {"sku": "b", "n": 2}, {"sku": "c", "n": 3}]));
    let doubled = acme.get("/v1/tables/my/doubled/rows?order=sku&n=gte.4").await.data();
    assert_eq!(doubled, json!([{"sku": "b", "n": 4}, {"sku": "c", "n": 6}]));
}

#[tokio::test]
async fn events_reach_a_lake_in_a_bucket_and_count_once() {
    let Some(store) = S3::start().await else { return };
    let Some(mut app) = server(&store).await else { return };
    let (acme, now) = (app.customer("acme").await, chrono::Utc::now().to_rfc3339());
    let event =
        |n: u32| json!({"event_id": format!("e{n}"), "event_time": now, "region_id": "us-jfk", "price": n});
    app.operator.post("/v1/events/d", json!([event(1), event(2)])).await.status(202);
    app.kill();
    app.resume().await;
    app.operator.post("/v1/events/d", json!([event(2), event(3)])).await.status(202);
    for _ in 0..200 {
        let market = acme.get("/v1/regions/us-jfk/summary").await.data()["market"]["latest"].take();
        if market["events"] == 3 {
            return assert_eq!(market["price_mean"], 2.0);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("three events did not arrive");
}

#[tokio::test]
async fn four_writers_at_once_lose_no_row() {
    let Some(store) = S3::start().await else { return };
    let Some(app) = server(&store).await else { return };
    let acme = app.customer("acme").await;
    acme.upload("ledger", "n\n0\n").await.created();
    let appends = (1..=12).map(|n| {
        let acme = acme.clone();
        async move {
            let row = Upload::new("ledger", format!("n\n{n}\n")).field("mode", "append");
            assert!(acme.upload_form(row).await.status.is_success(), "{n}");
        }
    });
    futures::future::join_all(appends).await;
    let sum = acme.sql("SELECT count(*) AS c, sum(n) AS s FROM my.ledger").await.data();
    assert_eq!(sum, json!([{"c": 13, "s": 78}]));
}
