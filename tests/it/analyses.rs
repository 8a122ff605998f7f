//! Saved analyses: a view or a table under a name, read by table name over REST (cases 3 and 4).

use harness::Stack::{self, Postgres, Sqlite};
use rstest::rstest;
use serde_json::{Value, json};

use crate::shared::customer;

fn id_of(job: &Value) -> String {
    job["data"]["id"].as_str().unwrap().to_owned()
}

#[rstest]
#[tokio::test]
async fn a_view_is_read_by_name_and_follows_its_tables(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(acme) = customer(stack, "acme").await else { return };
    acme.upload("sales", "day,amount\n2024-01-01,10\n2024-01-01,5\n2024-01-02,1\n").await.created();
    let view = json!({"sql": "SELECT day, sum(amount) AS total FROM my.sales GROUP BY day", "kind": "view"});
    let made = acme.put("/v1/analyses/by_day", view).await;
    assert!(matches!(made.status.as_u16(), 200 | 201), "{}", made.text());
    let rows = || acme.get("/v1/tables/my/by_day/rows?order=day");
    assert_eq!(
        rows().await.data(),
        json!([{"day": "2024-01-01", "total": 15}, {"day": "2024-01-02", "total": 1}])
    );
    let more = harness::Upload::new("sales", "day,amount\n2024-01-02,9\n").field("mode", "append");
    assert!(acme.upload_form(more).await.status.is_success());
    assert_eq!(rows().await.data()[1], json!({"day": "2024-01-02", "total": 10}));
}

#[rstest]
#[tokio::test]
async fn a_table_is_stored_by_a_run_and_stays_as_it_was(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(acme) = customer(stack, "acme").await else { return };
    acme.upload("sales", "amount\n1\n2\n").await.created();
    let table = json!({"sql": "SELECT sum(amount) AS total FROM my.sales", "kind": "table"});
    let made = acme.put("/v1/analyses/total", table).await;
    assert!(made.status.is_success(), "{}", made.text());
    let run = acme.post("/v1/analyses/total/runs", json!({})).await.status(202).json();
    assert_eq!(acme.finished(&id_of(&run)).await["status"], "succeeded");
    let total = || acme.get("/v1/tables/my/total/rows");
    assert_eq!(total().await.data(), json!([{"total": 3}]));
    let more = harness::Upload::new("sales", "amount\n4\n").field("mode", "append");
    assert!(acme.upload_form(more).await.status.is_success());
    assert_eq!(total().await.data(), json!([{"total": 3}]));
    let run = acme.post("/v1/analyses/total/runs", json!({})).await.status(202).json();
    acme.finished(&id_of(&run)).await;
    assert_eq!(total().await.data(), json!([{"total": 7}]));
    let runs = acme.get("/v1/analyses/total/runs").await.data();
    assert!(runs.as_array().is_some_and(|r| r.len() >= 2), "{runs}");
}

#[tokio::test]
async fn a_view_over_a_view_is_expanded() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload("base", "n\n1\n2\n3\n").await.created();
    for (name, sql) in [("v1", "SELECT n + 1 AS n FROM my.base"), ("v2", "SELECT n * 10 AS n FROM my.v1")] {
        let put = acme.put(&format!("/v1/analyses/{name}"), json!({"sql": sql, "kind": "view"})).await;
        assert!(put.status.is_success(), "{}", put.text());
    }
    assert_eq!(acme.sql("SELECT sum(n) AS s FROM my.v2").await.data(), json!([{"s": 90}]));
}

#[tokio::test]
async fn a_view_that_would_name_itself_is_refused() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload("base", "n\n1\n").await.created();
    acme.put("/v1/analyses/a_view", json!({"sql": "SELECT n FROM my.base", "kind": "view"})).await;
    acme.put("/v1/analyses/b_view", json!({"sql": "SELECT n FROM my.a_view", "kind": "view"})).await;
    let looped = json!({"sql": "SELECT n FROM my.b_view", "kind": "view"});
    let answer = acme.put("/v1/analyses/a_view", looped).await;
    assert!(matches!(answer.status.as_u16(), 409 | 422), "{} {}", answer.status, answer.text());
    assert_eq!(acme.sql("SELECT n FROM my.b_view").await.data(), json!([{"n": 1}]));
}

#[tokio::test]
async fn an_analysis_and_a_dataset_share_one_name_space() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload("thing", "n\n1\n").await.created();
    let view = json!({"sql": "SELECT 1 AS n", "kind": "view"});
    acme.put("/v1/analyses/thing", view).await.problem(409, "name-taken");
}

#[tokio::test]
async fn a_deleted_analysis_is_gone() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let view = json!({"sql": "SELECT 1 AS n", "kind": "view"});
    assert!(acme.put("/v1/analyses/one", view).await.status.is_success());
    assert_eq!(acme.delete("/v1/analyses/one").await.status.as_u16(), 204);
    assert_eq!(acme.get("/v1/tables/my/one/rows").await.status.as_u16(), 404);
    assert_eq!(acme.get("/v1/analyses/one").await.status.as_u16(), 404);
}
