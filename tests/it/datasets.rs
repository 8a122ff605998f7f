//! Uploads: what a customer sends is what it reads back, typed from the whole file, or nothing at all.

use harness::Stack::{self, Memory, Postgres, Sqlite};
use harness::Upload;
use rstest::rstest;
use serde_json::{Value, json};

use crate::shared::customer;

fn types(dataset: &Value) -> Vec<(String, String)> {
    let text = |column: &Value, key: &str| column[key].as_str().unwrap_or_default().to_owned();
    let columns = dataset["columns"].as_array().unwrap();
    columns.iter().map(|c| (text(c, "name"), text(c, "type"))).collect()
}

#[rstest]
#[tokio::test]
async fn an_uploaded_csv_is_typed_from_the_whole_file_and_read_back(
    #[values(Sqlite, Postgres, Memory)] stack: Stack,
) {
    let Some(acme) = customer(stack, "acme").await else { return };
    let csv = "Post Code,Amount €,when,ok,note\n007,1.5,2024-02-29,true,a\n8010,2,2024-03-01,false,NA\n9020,,,,\"x, \"\"y\"\"\"\n";
    let made = acme.upload("sales", csv).await.created();
    let dataset = &made["data"];
    assert_eq!(dataset["table"], "my.sales");
    assert_eq!(dataset["rows"], 3);
    assert_eq!(
        types(dataset),
        [("post_code", "text"), ("amount", "double"), ("when", "date"), ("ok", "boolean"), ("note", "text")]
            .map(|(n, t)| (n.to_owned(), t.to_owned()))
    );
    assert_eq!(dataset["columns"][0]["label"], "Post Code");
    let rows = acme.get("/v1/tables/my/sales/rows?order=post_code").await.ok();
    assert_eq!(
        rows["data"],
        json!([
            {"post_code": "007", "amount": 1.5, "when": "2024-02-29", "ok": true, "note": "a"},
            {"post_code": "8010", "amount": 2.0, "when": "2024-03-01", "ok": false, "note": null},
            {"post_code": "9020", "amount": null, "when": null, "ok": null, "note": "x, \"y\""},
        ])
    );
    assert_eq!(rows["meta"]["rows"], 3);
    assert_eq!(rows["meta"]["truncated"], false);
}

#[rstest]
#[tokio::test]
async fn a_late_value_decides_the_type_of_its_column(#[values(Sqlite)] stack: Stack) {
    let Some(acme) = customer(stack, "acme").await else { return };
    let mut csv = String::from("id,code\n");
    for n in 0..50_000 {
        csv.push_str(&format!("{n},{}\n", n + 1));
    }
    csv.push_str("50000,0815\n");
    let made = acme.upload("codes", &csv).await.created();
    assert_eq!(types(&made["data"])[1].1, "text");
    let count =
        acme.sql("SELECT count(*) AS n, max(id) AS last FROM my.codes WHERE code = '0815'").await.ok();
    assert_eq!(count["data"], json!([{"n": 1, "last": 50000}]));
}

#[rstest]
#[tokio::test]
async fn modes_append_replace_and_upsert_do_what_they_say(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(acme) = customer(stack, "acme").await else { return };
    acme.upload("stock", "sku,n\na,1\nb,2\n").await.created();
    acme.upload("stock", "sku,n\nc,3\n").await.problem(409, "name-taken");
    let send = |mode: &str, csv: &str| {
        let upload = Upload::new("stock", csv).field("mode", mode);
        let upload = if mode == "upsert" { upload.field("key", "sku") } else { upload };
        acme.upload_form(upload)
    };
    assert!(send("append", "sku,n\nc,3\n").await.status.is_success());
    assert!(send("upsert", "sku,n\nb,20\nd,4\n").await.status.is_success());
    let rows = || acme.sql("SELECT sku, n FROM my.stock ORDER BY sku");
    let expected =
        json!([{"sku": "a", "n": 1}, {"sku": "b", "n": 20}, {"sku": "c", "n": 3}, {"sku": "d", "n": 4}]);
    assert_eq!(rows().await.data(), expected);
    assert!(send("replace", "sku,n\nz,9\n").await.status.is_success());
    assert_eq!(rows().await.data(), json!([{"sku": "z", "n": 9}]));
}

#[rstest]
#[tokio::test]
async fn the_same_idempotency_key_makes_one_dataset(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(acme) = customer(stack, "acme").await else { return };
    acme.upload("log", "n\n1\n").await.created();
    let append = |csv: &'static str| {
        Upload::new("log", csv).field("mode", "append").idempotency_key("once-and-only-once")
    };
    let first = acme.upload_form(append("n\n2\n")).await;
    let again = acme.upload_form(append("n\n2\n")).await;
    assert_eq!((first.status, first.json()["data"].clone()), (again.status, again.json()["data"].clone()));
    acme.upload_form(append("n\n3\n")).await.problem(422, "idempotency-mismatch");
    assert_eq!(acme.sql("SELECT sum(n) AS s FROM my.log").await.data(), json!([{"s": 3}]));
}

#[rstest]
#[case("ndjson", "rows.ndjson", "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":null}\n")]
#[case("array", "rows.json", "[{\"a\":1,\"b\":\"x\"},{\"a\":2,\"b\":null}]")]
#[tokio::test]
async fn json_lines_and_arrays_are_read_alike(
    #[case] name: &str,
    #[case] file_name: &str,
    #[case] body: &'static str,
) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload_form(Upload::new(name, body).file_name(file_name)).await.created();
    let rows = acme.get(&format!("/v1/tables/my/{name}/rows?order=a")).await.data();
    assert_eq!(rows, json!([{"a": 1, "b": "x"}, {"a": 2, "b": null}]));
}

#[tokio::test]
async fn a_parquet_answer_can_be_uploaded_again() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload("first", "a,b,day\n1,x,2024-01-01\n2,,2024-01-02\n").await.created();
    let parquet = acme.get("/v1/tables/my/first/rows?order=a&format=parquet").await.status(200);
    assert_eq!(&parquet.body[..4], b"PAR1");
    acme.upload_form(Upload::new("second", parquet.body).file_name("second.parquet")).await.created();
    let read = |table: &'static str| acme.get(table);
    let (first, second) =
        (read("/v1/tables/my/first/rows?order=a").await, read("/v1/tables/my/second/rows?order=a").await);
    assert_eq!(first.data(), second.data());
}

#[tokio::test]
async fn a_bad_row_is_named_with_row_column_value_and_reason_and_leaves_nothing() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let upload = Upload::new("typed", "id,n\n1,5\n2,six\n").field("types", r#"{"n": "bigint"}"#);
    let problem = acme.upload_form(upload).await.problem(422, "file-malformed");
    let error = &problem.errors[0];
    assert_eq!((&error["column"], &error["value"]), (&json!("n"), &json!("six")), "{problem:?}");
    assert_eq!(error["row"], 2);
    assert!(error["reason"].as_str().is_some_and(|r| !r.is_empty()));
    acme.get("/v1/datasets/typed").await.problem(404, "unknown-dataset");
    assert_eq!(acme.get("/v1/datasets").await.data(), json!([]));
}

#[tokio::test]
async fn rejected_rows_are_set_aside_and_can_be_read() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let upload = Upload::new("typed", "id,n\n1,5\n2,six\n3,7\n")
        .field("types", r#"{"n": "bigint"}"#)
        .field("on_bad_rows", "reject");
    let made = acme.upload_form(upload).await.created();
    assert_eq!((&made["data"]["rows"], &made["data"]["rejects"]), (&json!(2), &json!(1)));
    let rejects = acme.get("/v1/datasets/typed/rejects").await.data();
    let reject = &rejects[0]["rows"][0];
    assert_eq!(
        (&reject["row"], &reject["column"], &reject["value"]),
        (&json!(2), &json!("n"), &json!("six"))
    );
}

#[rstest]
#[tokio::test]
async fn a_deleted_dataset_is_gone_at_once_and_its_name_is_free(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(acme) = customer(stack, "acme").await else { return };
    acme.upload("gone", "a\n1\n").await.created();
    assert_eq!(acme.delete("/v1/datasets/gone").await.status.as_u16(), 204);
    acme.get("/v1/datasets/gone").await.problem(404, "unknown-dataset");
    acme.sql("SELECT * FROM my.gone").await.problem(404, "unknown-table");
    acme.upload("gone", "a\n2\n").await.created();
    assert_eq!(acme.sql("SELECT a FROM my.gone").await.data(), json!([{"a": 2}]));
}

#[tokio::test]
async fn versions_list_every_commit_and_as_of_reads_an_older_one() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload("hist", "a\n1\n").await.created();
    let before = chrono::Utc::now();
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    acme.upload_form(Upload::new("hist", "a\n2\n").field("mode", "append")).await;
    let versions = acme.get("/v1/datasets/hist/versions").await.data();
    assert_eq!(versions.as_array().unwrap().len(), 2, "{versions}");
    let body = json!({"sql": "SELECT sum(a) AS s FROM my.hist", "as_of": before.to_rfc3339()});
    assert_eq!(acme.post("/v1/sql", body).await.data(), json!([{"s": 1}]));
    assert_eq!(acme.sql("SELECT sum(a) AS s FROM my.hist").await.data(), json!([{"s": 3}]));
}

#[tokio::test]
async fn a_german_csv_has_a_decimal_comma_where_it_shows_one_and_is_asked_about_where_it_does_not() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let shown =
        acme.upload("shown", "menge;preis;anteil\n1.234;12,5;12,5%\n500;1.234,56;3%\n").await.created();
    let named = |types: [&str; 3]| {
        ["menge", "preis", "anteil"]
            .into_iter()
            .zip(types)
            .map(|(n, t)| (n.to_owned(), t.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(types(&shown["data"]), named(["bigint", "double", "text"]));
    let rows = acme.get("/v1/tables/my/shown/rows?order=menge").await.data();
    assert_eq!(rows[1], json!({"menge": 1234, "preis": 12.5, "anteil": "12,5%"}));

    let csv = "a;b\n1.234;5\n";
    let asked = acme.upload("asked", csv).await.created();
    assert_eq!(types(&asked["data"])[0].1, "text");
    let note = asked["data"]["columns"][0]["note"].as_str().unwrap_or_default();
    assert!(note.contains("1.234") && note.contains("`decimal`"), "{note}");
    for (name, decimal, value) in [("point", "point", json!(1.234)), ("comma", "comma", json!(1234))] {
        acme.upload_form(Upload::new(name, csv).field("decimal", decimal)).await.created();
        assert_eq!(acme.sql(&format!("SELECT a FROM my.{name}")).await.data(), json!([{"a": value}]));
    }
    let typed = Upload::new("typed", "a;b\n1.234,5;x\n").field("types", r#"{"a": "decimal(10,2)"}"#);
    acme.upload_form(typed).await.created();
    assert_eq!(acme.sql("SELECT a FROM my.typed").await.data(), json!([{"a": "1234.50"}]));
    let unclear = Upload::new("unclear", csv).field("types", r#"{"a": "double"}"#);
    let problem = acme.upload_form(unclear).await.problem(422, "file-malformed");
    assert!(problem.detail.contains("`decimal`"), "{problem:?}");
    acme.upload_form(Upload::new("wrong", csv).field("decimal", "dot")).await.problem(400, "invalid-body");
}

#[tokio::test]
async fn a_column_that_nearly_is_of_a_narrower_type_says_why_it_is_text() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let upload = || {
        Upload::new("nearly", "n,day,word\n1,2026-01-01,a\n2,,b\nabc,soon,c\n3,2026-01-02,4\n")
            .idempotency_key("the-same-note-again")
    };
    let made = acme.upload_form(upload()).await.created();
    let columns = &made["data"]["columns"];
    assert_eq!(columns[0]["note"], "text because row 3 is \"abc\"");
    assert_eq!(columns[1]["note"], "text because row 3 is \"soon\"");
    assert_eq!(columns[2].get("note"), None);
    let again = acme.upload_form(upload()).await.created();
    assert_eq!(&again["data"]["columns"], columns);
}

#[tokio::test]
async fn an_upload_that_became_a_job_tells_its_notes_there() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let uploaded = async |name: &str, csv: &str| {
        let upload = Upload::new(name, csv.as_bytes()).prefer("respond-async");
        let job = acme.upload_form(upload).await.status(202).json();
        acme.finished(job["data"]["id"].as_str().unwrap()).await
    };
    let job = uploaded("nearly", "n,word\n1,a\n2,b\nabc,c\n").await;
    assert_eq!((&job["status"], &job["result"]), (&json!("succeeded"), &json!("/v1/datasets/nearly")));
    assert_eq!(job["notes"], json!({"n": "text because row 3 is \"abc\""}));
    let job = uploaded("plain", "n,word\n1,a\n").await;
    assert_eq!((&job["status"], job.get("notes")), (&json!("succeeded"), None));
}

#[rstest]
#[case::too_long("x".repeat(4_097))]
#[case::turned_around("a\u{202e}b".to_owned())]
#[tokio::test]
async fn a_description_is_short_and_hides_nothing(#[case] text: String) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload_form(Upload::new("sales", "n\n1\n").field("description", &text))
        .await
        .problem(400, "invalid-body");
    acme.upload("sales", "n\n1\n").await.created();
    acme.patch("/v1/datasets/sales", json!({"description": text})).await.problem(400, "invalid-body");
    acme.patch("/v1/datasets/sales", json!({"description": "two\nlines"})).await.status(200);
}
