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

#[rstest]
#[tokio::test]
async fn a_view_with_two_columns_of_one_name_is_read_as_it_is_shown(
    #[values(Sqlite, Postgres)] stack: Stack,
) {
    let Some(acme) = customer(stack, "acme").await else { return };
    acme.upload("sales", "day,amount\n2024-01-01,10\n2024-01-02,1\n").await.created();
    acme.upload("visits", "day,people\n2024-01-01,7\n2024-01-02,8\n").await.created();
    let sql = "SELECT * FROM my.sales s JOIN my.visits v ON s.day = v.day";
    let made = acme.put("/v1/analyses/joined", json!({"sql": sql, "kind": "view"})).await.created();
    let shown: Vec<&str> =
        made["data"]["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(shown, ["day", "amount", "day_2", "people"]);
    let rows = acme.get("/v1/tables/my/joined/rows?order=day&day_2=eq.2024-01-02").await.data();
    assert_eq!(rows, json!([{"day": "2024-01-02", "amount": 1, "day_2": "2024-01-02", "people": 8}]));
    let answer = acme.sql("SELECT day_2, people FROM my.joined ORDER BY day LIMIT 1").await;
    assert_eq!(answer.data(), json!([{"day_2": "2024-01-01", "people": 7}]));
    acme.put("/v1/analyses/twice", json!({"sql": "SELECT 1 AS a, 2 AS a", "kind": "view"})).await.created();
    assert_eq!(acme.get("/v1/tables/my/twice/rows").await.data(), json!([{"a": 1, "a_2": 2}]));
    assert_eq!(acme.sql("SELECT a_2 FROM my.twice").await.data(), json!([{"a_2": 2}]));
}

#[rstest]
#[tokio::test]
async fn a_first_run_that_failed_says_so(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(acme) = customer(stack, "acme").await else { return };
    acme.upload("numbers", "n\n0\n1\n").await.created();
    // Planned, it is right; only its rows show that it is not.
    let table = json!({"sql": "SELECT 10 / n AS part, sum(n) FROM my.numbers GROUP BY n", "kind": "table"});
    let made = acme.put("/v1/analyses/parts", table).await.created();
    let shown: Vec<&str> =
        made["data"]["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(shown, ["part", "sum_n"]);
    let job = made["meta"]["run"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let ended = acme.finished(&job).await;
    assert_eq!((&ended["status"], &ended["problem"]["code"]), (&json!("failed"), &json!("query-failed")));
    assert_eq!(ended["problem"]["request_id"].as_str().map(str::len), Some(36), "{ended}");
    for answer in [acme.get("/v1/tables/my/parts/rows").await, acme.sql("SELECT * FROM my.parts").await] {
        assert_eq!(answer.header("retry-after"), "");
        let problem = answer.problem(409, "conflict");
        let told = format!("its last run, job {job}, failed (query-failed): division by zero");
        assert!(problem.detail.ends_with(&told), "{}", problem.detail);
        assert_eq!(problem.errors[0]["status"], "failed");
    }
    let run = &acme.get("/v1/analyses/parts").await.data()["last_run"];
    assert_eq!(
        (&run["id"], &run["status"], &run["problem"]["code"]),
        (&json!(job), &json!("failed"), &json!("query-failed"))
    );
}

#[tokio::test]
async fn a_run_that_fails_later_leaves_the_result_and_is_shown() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload("numbers", "n\n1\n2\n").await.created();
    let table = json!({"sql": "SELECT 10 / n AS part FROM my.numbers ORDER BY n", "kind": "table"});
    let made = acme.put("/v1/analyses/parts", table).await.created();
    let first = acme.finished(made["meta"]["run"].as_str().unwrap().rsplit('/').next().unwrap()).await;
    assert_eq!((&first["status"], &first["progress"]["rows"]), (&json!("succeeded"), &json!(2)));
    let zero = harness::Upload::new("numbers", "n\n0\n").field("mode", "append");
    assert!(acme.upload_form(zero).await.status.is_success());
    let run = acme.post("/v1/analyses/parts/runs", json!({})).await.status(202).json();
    acme.finished(&id_of(&run)).await;
    assert_eq!(acme.get("/v1/tables/my/parts/rows").await.data(), json!([{"part": 10}, {"part": 5}]));
    let analysis = acme.get("/v1/analyses/parts").await.data();
    let last = &analysis["last_run"];
    assert_eq!((&last["status"], &last["problem"]["code"]), (&json!("failed"), &json!("query-failed")));
    assert_eq!(analysis["rows"], 2);
}
