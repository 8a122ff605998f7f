//! Ad-hoc SQL: one read-only statement over visible tables, bound parameters, limits that say their name.

use harness::Stack::{Postgres, Sqlite};
use harness::{Customer, Stack};
use rstest::rstest;
use serde_json::json;

use crate::shared::customer;

async fn with_numbers(stack: Stack) -> Option<Customer> {
    let acme = customer(stack, "acme").await?;
    acme.upload("numbers", "n,name\n1,one\n2,two\n3,three\n").await.created();
    Some(acme)
}

#[rstest]
#[tokio::test]
async fn an_answer_tells_its_rows_columns_and_tables(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(acme) = with_numbers(stack).await else { return };
    let answer = acme.sql("SELECT n, name FROM my.numbers WHERE n > 1 ORDER BY n").await.ok();
    assert_eq!(answer["data"], json!([{"n": 2, "name": "two"}, {"n": 3, "name": "three"}]));
    let meta = &answer["meta"];
    assert_eq!((&meta["rows"], &meta["truncated"]), (&json!(2), &json!(false)));
    assert_eq!(meta["columns"], json!([{"name": "n", "type": "bigint"}, {"name": "name", "type": "text"}]));
    assert_eq!(meta["tables"][0]["name"], "my.numbers");
}

#[tokio::test]
async fn parameters_are_bound_and_never_text() {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let sql = "SELECT n FROM my.numbers WHERE name = $1";
    let ask = |value: &str| acme.post("/v1/sql", json!({"sql": sql, "params": [value]}));
    assert_eq!(ask("two").await.data(), json!([{"n": 2}]));
    assert_eq!(ask("two' OR '1'='1").await.data(), json!([]));
    acme.post("/v1/sql", json!({"sql": sql, "params": []})).await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn the_own_slug_is_an_alias_of_my() {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let sql = format!("SELECT count(*) AS n FROM {}.numbers", acme.workspace);
    assert_eq!(acme.sql(&sql).await.data(), json!([{"n": 3}]));
}

#[tokio::test]
async fn a_limit_truncates_and_says_so() {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let body = json!({"sql": "SELECT n FROM my.numbers ORDER BY n", "limit": 2});
    let answer = acme.post("/v1/sql", body).await.ok();
    assert_eq!((&answer["meta"]["rows"], &answer["meta"]["truncated"]), (&json!(2), &json!(true)));
}

#[rstest]
#[case("INSERT INTO my.numbers VALUES (4, 'four')")]
#[case("DELETE FROM my.numbers")]
#[case("UPDATE my.numbers SET n = 0")]
#[case("CREATE TABLE t AS SELECT 1")]
#[case("DROP TABLE my.numbers")]
#[case("COPY my.numbers TO '/tmp/out.csv'")]
#[case("SET datafusion.execution.batch_size = 1")]
#[case("SELECT 1 INTO t")]
#[case("PREPARE p AS SELECT 1")]
#[tokio::test]
async fn a_statement_that_is_no_query_is_refused(#[case] sql: &str) {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    acme.sql(sql).await.problem(400, "sql-not-read-only");
    assert_eq!(acme.sql("SELECT count(*) AS n FROM my.numbers").await.data(), json!([{"n": 3}]));
}

#[rstest]
#[case("SELECT * FROM '/etc/passwd'")]
#[case("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'")]
#[case("SELECT * FROM \"/etc/passwd\"")]
#[case("SELECT * FROM read_csv('/etc/passwd')")]
#[case("SELECT * FROM information_schema.df_settings")]
#[case("SELECT * FROM parquet_metadata('x')")]
#[tokio::test]
async fn nothing_but_visible_tables_can_be_read(#[case] sql: &str) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let answer = acme.sql(sql).await;
    assert!(matches!(answer.status.as_u16(), 400 | 404 | 422), "{} {}", answer.status, answer.text());
    assert!(!answer.text().contains("root:"));
}

#[rstest]
#[case::repeat("SELECT length(repeat('x', 1500000000)) AS n")]
#[case::lpad("SELECT length(lpad('x', 2000000000, 'y')) AS n")]
#[case::array("SELECT array_repeat(array_repeat(array_repeat(1, 100000), 100000), 100)")]
#[case::range("SELECT array_length(range(0, 2000000000)) AS n")]
#[case::series("SELECT count(*) FROM generate_series(1, 100000000000)")]
#[case::cross(
    "SELECT count(*) FROM my.numbers a, my.numbers b, my.numbers c, my.numbers d, my.numbers e, my.numbers f, my.numbers g, my.numbers h, my.numbers i, my.numbers j, my.numbers k, my.numbers l, my.numbers m, my.numbers n, my.numbers o, my.numbers p, my.numbers q, my.numbers r, my.numbers s, my.numbers t, my.numbers u, my.numbers v WHERE a.n + v.n + u.n + t.n > -1"
)]
#[tokio::test]
async fn a_bomb_is_refused_and_the_next_query_is_served(#[case] sql: &str) {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let answer = acme.sql(sql).await;
    let status = answer.status.as_u16();
    assert!(matches!(status, 202 | 400 | 404 | 422), "{status} {}", answer.text());
    assert_eq!(acme.sql("SELECT count(*) AS n FROM my.numbers").await.data(), json!([{"n": 3}]));
}

#[rstest]
#[case::sum(format!("SELECT {}", vec!["1"; 5_000].join("+")))]
#[case::or(format!("SELECT {}", vec!["1=1"; 5_000].join(" OR ")))]
#[case::parentheses(format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)))]
#[case::not(format!("SELECT {} true", "NOT ".repeat(5_000)))]
#[case::union(vec!["SELECT 1"; 2_000].join(" UNION ALL "))]
#[case::ctes(chained_ctes(18))]
#[case::cube(format!("SELECT 1 FROM my.numbers GROUP BY CUBE({})", vec!["n"; 28].join(",")))]
#[tokio::test]
async fn a_statement_too_deep_or_too_long_is_refused_before_planning(#[case] sql: String) {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let started = std::time::Instant::now();
    let answer = acme.sql(&sql).await;
    assert!(matches!(answer.status.as_u16(), 400 | 422), "{} {}", answer.status, answer.text());
    assert!(started.elapsed() < std::time::Duration::from_secs(12));
    assert_eq!(acme.sql("SELECT 1 AS n").await.data(), json!([{"n": 1}]));
}

/// `WITH c0 AS (…), c1 AS (SELECT … FROM c0 JOIN c0), …`: the plan doubles with each.
fn chained_ctes(count: usize) -> String {
    let mut sql = String::from("WITH c0 AS (SELECT n FROM my.numbers)");
    for i in 1..count {
        let before = i - 1;
        sql.push_str(&format!(", c{i} AS (SELECT a.n FROM c{before} a JOIN c{before} b ON a.n = b.n)"));
    }
    format!("{sql} SELECT count(*) FROM c{}", count - 1)
}

#[tokio::test]
async fn a_dry_run_tells_the_columns_and_runs_nothing() {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let body = json!({"sql": "SELECT n * 2 AS twice FROM my.numbers", "dry_run": true});
    let answer = acme.post("/v1/sql", body).await.ok();
    assert_eq!(answer["meta"]["columns"], json!([{"name": "twice", "type": "bigint"}]));
    assert_eq!(answer["data"], json!([]));
}

#[rstest]
#[case("json", "application/json")]
#[case("ndjson", "application/x-ndjson")]
#[case("csv", "text/csv")]
#[case("arrow", "application/vnd.apache.arrow.stream")]
#[case("parquet", "application/vnd.apache.parquet")]
#[tokio::test]
async fn each_format_is_answered_whole_with_its_counts(#[case] format: &str, #[case] content_type: &str) {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let path = format!("/v1/sql?format={format}");
    let answer = acme.post(&path, json!({"sql": "SELECT n FROM my.numbers"})).await.status(200);
    assert!(answer.header("content-type").starts_with(content_type), "{}", answer.header("content-type"));
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    if format == "json" {
        let meta = &answer.json()["meta"];
        assert_eq!((&meta["rows"], &meta["truncated"]), (&json!(3), &json!(false)));
    } else {
        assert_eq!((answer.header("x-rows"), answer.header("x-truncated")), ("3", "false"));
    }
}

#[tokio::test]
async fn csv_neutralises_what_a_spreadsheet_would_run() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let answer =
        acme.post("/v1/sql?format=csv", json!({"sql": "SELECT '=1+1' AS a, -5 AS b"})).await.status(200);
    assert_eq!(answer.text().replace("\r\n", "\n"), "a,b\n'=1+1,-5\n");
}

#[rstest]
#[case("SELECT 1 / 0 AS n", 422, "query-failed")]
#[case("SELECT n / (n - n) AS x FROM my.numbers", 422, "query-failed")]
#[case("SELECT CAST(name AS int) AS n FROM my.numbers", 422, "query-failed")]
#[case("SELECT nope FROM my.numbers", 400, "unknown-column")]
#[case("SELECT 1 AS a; SELECT 2 AS a", 400, "sql-not-read-only")]
#[case("SELECT 1; DROP TABLE my.numbers", 400, "sql-not-read-only")]
#[case("SELECT summ(n) FROM my.numbers", 400, "unknown-function")]
#[case("SELECT sum(name) FROM my.numbers", 400, "invalid-sql")]
#[tokio::test]
async fn a_mistake_has_the_code_that_is_promised(#[case] sql: &str, #[case] status: u16, #[case] code: &str) {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let problem = acme.sql(sql).await.problem(status, code);
    for word in ["Int64", "Utf8", "Internal error", "planning"] {
        assert!(!problem.detail.contains(word), "{}", problem.detail);
    }
}

#[rstest]
#[case("SELECT * FROM my.number", "Did you mean my.numbers?")]
#[case("SELECT * FROM numbers", "Did you mean my.numbers?")]
#[case("SELECT * FROM weather.dayly", "Did you mean weather.daily?")]
#[tokio::test]
async fn a_misspelt_table_is_told_what_it_may_have_meant(#[case] sql: &str, #[case] told: &str) {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let problem = acme.sql(sql).await.problem(404, "unknown-table");
    assert!(problem.detail.ends_with(told), "{}", problem.detail);
}

#[tokio::test]
async fn no_hint_tells_of_anothers_table() {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let Some(globex) = customer(Sqlite, "globex").await else { return };
    for name in ["my.number".to_owned(), "number".to_owned(), format!("{}.number", acme.workspace)] {
        let problem = globex.sql(&format!("SELECT * FROM {name}")).await.problem(404, "unknown-table");
        assert_eq!(problem.detail, format!("no table `{name}`"));
    }
    for schema in ["my", &acme.workspace] {
        for rest in ["", "/rows"] {
            let path = format!("/v1/tables/{schema}/number{rest}");
            let problem = globex.get(&path).await.problem(404, "unknown-table");
            assert_eq!(problem.detail, format!("no table `{schema}.number`"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_column_without_a_name_is_called_as_it_is_written() {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let answer = acme.sql("SELECT count(*), SUM(n), 1, 1 FROM my.numbers").await;
    assert_eq!(answer.data(), json!([{"count(*)": 3, "sum(n)": 6, "1": 1, "1_2": 1}]));
}

#[rstest]
#[case("approx_percentile_cont(0.5, 2000000000)")]
#[case("approx_percentile_cont(0.5, 9223372036854775807)")]
#[case("approx_percentile_cont_with_weight(1, 0.5, 100000 * 100000)")]
#[tokio::test]
async fn a_digest_larger_than_any_use_of_it_is_refused_by_its_name(#[case] call: &str) {
    let Some(acme) = with_numbers(Sqlite).await else { return };
    let sql = format!("SELECT {call} WITHIN GROUP (ORDER BY n) AS x FROM my.numbers");
    let problem = acme.sql(&sql).await.problem(422, "query-too-large");
    assert!(problem.detail.contains("10000 centroids of approx_percentile_cont"), "{problem:?}");
    let few = "SELECT approx_percentile_cont(0.5, 1000) WITHIN GROUP (ORDER BY n) AS x FROM my.numbers";
    assert_eq!(acme.sql(few).await.data(), json!([{"x": 2.0}]));
}

#[rstest]
#[case("SELECT 'a' ~ '('", 422, "query-failed")]
#[case("SELECT regexp_replace('a', 'a{10000000}', 'b')", 422, "query-failed")]
#[case("SELECT array_resize(make_array(1), -1)", 422, "query-failed")]
#[tokio::test]
async fn a_callers_own_mistake_is_never_the_servers(
    #[case] sql: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.sql(sql).await.problem(status, code);
}

#[tokio::test]
async fn a_volatile_function_in_quotes_is_volatile() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let first = acme.sql("SELECT \"random\"() AS n").await.data();
    assert_ne!(first, acme.sql("SELECT \"random\"() AS n").await.data());
}
