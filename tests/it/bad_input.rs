//! Bad input: a clear 4xx that names the cause, nothing left behind, and the next request is served.

use std::io::Write;
use std::time::{Duration, Instant};

use futures::StreamExt;
use harness::Stack::Sqlite;
use harness::{Answer, Customer, Upload};
use rstest::rstest;
use serde_json::json;

use crate::shared::{app, customer};
use crate::wire::{Wire, statuses};

/// Uploads what must be refused: a 4xx with this code within the time limit; nothing stays; the next upload works.
async fn refused(upload: Upload, status: u16, code: &str) -> Option<harness::Problem> {
    let acme = customer(Sqlite, "acme").await?;
    let started = Instant::now();
    let answer = acme.upload_form(upload).await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let problem = answer.problem(status, code);
    assert_eq!(acme.get("/v1/datasets").await.data(), json!([]));
    acme.upload("next", "a\n1\n").await.created();
    Some(problem)
}

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> Upload {
    Upload::new("bad", bytes).file_name(name)
}

fn gzip(chunk: &[u8], times: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..times {
        encoder.write_all(chunk).unwrap();
    }
    encoder.finish().unwrap()
}

#[rstest]
#[case::too_many_cells("a,b\n1,2\n3,4,5\n")]
#[case::too_few_cells("a,b\n1,2\n3\n")]
#[case::unclosed_quote("a,b\n1,\"two\n3,4\n")]
#[case::nul_byte("a,b\n1,t\0wo\n")]
#[case::nothing("")]
#[case::only_a_header_twice("a,a\n")]
#[tokio::test]
async fn a_csv_that_is_not_well_formed_is_refused(#[case] csv: &'static str) {
    let acme = customer(Sqlite, "acme").await.unwrap();
    let answer = acme.upload("bad", csv).await;
    if csv == "a,a\n" {
        answer.created(); // repeated headers are made unique, and no rows is a table without rows
        return;
    }
    let problem = answer.problem(422, "file-malformed");
    assert!(!problem.detail.is_empty());
    assert_eq!(acme.get("/v1/datasets").await.data(), json!([]));
}

#[tokio::test]
async fn a_ragged_row_is_named_by_its_number() {
    let Some(problem) = refused(file("bad.csv", "a,b\n1,2\n3,4,5\n"), 422, "file-malformed").await else {
        return;
    };
    assert_eq!(
        (&problem.errors[0]["row"], &problem.errors[0]["line"]),
        (&json!(2), &json!(3)),
        "{problem:?}"
    );
    assert_eq!(problem.detail, "row 2: the record has 3 values where the header has 2 (`a`, `b`)");
}

#[tokio::test]
async fn an_unclosed_quote_and_foreign_columns_are_told_in_words_that_help() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let open = acme.upload("open", "a,b\n1,\"x\ny\"\n2,\"two\n").await.problem(422, "file-malformed");
    assert_eq!(open.detail, "row 2: the record opens a quote that is never closed");
    assert_eq!(open.errors[0]["line"], 4);
    acme.upload("stock", "sku,n\na,1\n").await.created();
    let append = Upload::new("stock", "sku,count\nb,2\n").field("mode", "append");
    let problem = acme.upload_form(append).await.problem(422, "schema-mismatch");
    assert_eq!(problem.detail, "the dataset has no column `count`, and the file has no column `n`");
    let named: Vec<_> = problem.errors.iter().map(|error| error["column"].clone()).collect();
    assert_eq!(named, [json!("count"), json!("n")]);
    assert_eq!(acme.sql("SELECT count(*) AS n FROM my.stock").await.data(), json!([{"n": 1}]));
}

#[tokio::test]
async fn ten_thousand_columns_are_refused() {
    let header: Vec<String> = (0..10_000).map(|n| format!("c{n}")).collect();
    refused(file("wide.csv", format!("{}\n", header.join(","))), 422, "file-malformed").await;
}

#[tokio::test]
async fn a_field_of_a_hundred_megabytes_is_refused() {
    let mut csv = b"a,b\n1,\"".to_vec();
    csv.resize(100_000_000, b'x');
    csv.extend_from_slice(b"\"\n");
    refused(file("big.csv", csv), 422, "file-malformed").await;
}

#[rstest]
#[case::json("deep.json", "[".repeat(10_000) + &"]".repeat(10_000))]
#[case::ndjson("deep.ndjson", "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000))]
#[tokio::test]
async fn json_nested_too_deep_is_refused(#[case] name: &str, #[case] body: String) {
    refused(file(name, body), 422, "file-malformed").await;
}

#[rstest]
#[case::cut_json("x.json", b"[{\"a\":1},{\"a\"".to_vec())]
#[case::cut_ndjson("x.ndjson", b"{\"a\":1}\n{\"a\"".to_vec())]
#[case::not_objects("x.json", b"[1,2,3]".to_vec())]
#[case::magic_only("x.parquet", b"PAR1PAR1".to_vec())]
#[case::cut_parquet("x.parquet", b"PAR1\x15\x04\x15\x10".to_vec())]
#[case::absurd_footer("x.parquet", [b"PAR1".as_slice(), &[0xff; 64], &[0xff, 0xff, 0xff, 0x7f], b"PAR1"].concat())]
#[case::cut_gzip("x.csv.gz", gzip(b"a,b\n1,2\n", 1000)[..20].to_vec())]
#[tokio::test]
async fn a_file_that_is_broken_is_refused(#[case] name: &str, #[case] bytes: Vec<u8>) {
    refused(file(name, bytes), 422, "file-malformed").await;
}

#[rstest]
#[case::csv_called_parquet("x.parquet", b"a,b\n1,2\n".to_vec())]
#[case::parquet_called_csv("x.csv", b"PAR1xxxxxxxxPAR1".to_vec())]
#[case::zip("x.csv", b"PK\x03\x04aaaaaaaaaaaaaaaaaaaaaaaaaa".to_vec())]
#[case::text_called_json("x.json", b"hello".to_vec())]
#[case::pdf("x.csv", b"%PDF-1.7\n1 0 obj".to_vec())]
#[case::orc("x.csv", b"ORC\n\x03\0\0\x12\x05".to_vec())]
#[case::image("x.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec())]
#[case::program("x.csv", b"MZ\x90\0\x03\0\0\0".to_vec())]
#[case::called_program("x.exe", b"a,b\n1,2\n".to_vec())]
#[case::packed_program("x.csv.gz", gzip(b"\x7fELF\x02\x01\x01\0", 1))]
#[tokio::test]
async fn a_file_of_another_type_than_its_name_is_refused(#[case] name: &str, #[case] bytes: Vec<u8>) {
    refused(file(name, bytes), 422, "unsupported-format").await;
}

#[tokio::test]
async fn a_mislabelled_parquet_page_cannot_stop_the_process() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload("seed", "a,b\n1,x\n2,y\n3,z\n").await.created();
    let good = acme.get("/v1/tables/my/seed/rows?format=parquet").await.status(200).body;
    for at in (4..good.len() - 8).step_by(good.len() / 40 + 1) {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        let answer = acme
            .upload_form(Upload::new("spoiled", bytes).file_name("x.parquet").field("mode", "create"))
            .await;
        let status = answer.status.as_u16();
        assert!(matches!(status, 201 | 409 | 422), "byte {at}: {status} {}", answer.text());
        if status == 201 {
            acme.delete("/v1/datasets/spoiled").await;
        }
    }
    assert_eq!(acme.sql("SELECT count(*) AS n FROM my.seed").await.data(), json!([{"n": 3}]));
}

#[rstest]
#[case::gzip("bomb.csv.gz", gzip(&[b'1'; 1 << 20], 2_000))]
#[case::gzip_lines("bomb.csv.gz", gzip("1,2,3\n".repeat(100_000).as_bytes(), 4_000))]
#[tokio::test]
async fn a_compression_bomb_is_refused(#[case] name: &str, #[case] bytes: Vec<u8>) {
    refused(file(name, bytes), 422, "file-malformed").await;
}

#[rstest]
#[case("../etc/passwd")]
#[case("a/b")]
#[case("a\0b")]
#[case("")]
#[case("1abc")]
#[case("sаles")] // the second letter is Cyrillic
#[case("select from")]
#[case("usage")]
#[tokio::test]
async fn a_name_that_is_no_name_is_refused_with_a_suggestion_where_there_is_one(#[case] name: &str) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload_form(Upload::new(name, "a\n1\n").file_name("x.csv")).await.problem(422, "invalid-name");
    assert_eq!(acme.get("/v1/datasets").await.data(), json!([]));
}

#[tokio::test]
async fn a_name_of_three_hundred_characters_is_refused() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload_form(Upload::new(&"x".repeat(300), "a\n1\n").file_name("x.csv"))
        .await
        .problem(422, "invalid-name");
}

#[rstest]
#[case::unknown_field(json!({"sql": "SELECT 1", "sqll": "x"}))]
#[case::wrong_type(json!({"sql": 1}))]
#[case::missing(json!({}))]
#[case::array(json!([1]))]
#[case::fields_without_names(json!(["SELECT 1"]))]
#[case::limit(json!({"sql": "SELECT 1", "limit": -1}))]
#[tokio::test]
async fn a_body_that_is_not_the_documented_one_is_refused(#[case] body: serde_json::Value) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let answer = acme.post("/v1/sql", body).await;
    assert!(matches!(answer.status.as_u16(), 400 | 422), "{} {}", answer.status, answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[rstest]
#[case("GET", "/v1/nothing", 404, "not-found")]
#[case("PUT", "/v1/sql", 405, "method-not-allowed")]
#[case("GET", "/v1/regions/%00", 404, "unknown-region")]
#[case("GET", "/v1/regions/nowhere/summary", 404, "unknown-region")]
#[case("GET", "/v1/regions?unknown=1", 400, "unknown-parameter")]
#[case("GET", "/v1/regions?limit=ten", 400, "invalid-parameter")]
#[case("GET", "/v1/tables/my/xs/rows?format=xml", 406, "not-acceptable")]
#[tokio::test]
async fn a_wrong_path_method_or_parameter_is_a_problem_of_one_shape(
    #[case] method: &str,
    #[case] path: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.upload("xs", "a\n1\n").await.created();
    let request = acme.request(method.parse().unwrap(), path);
    acme.send(request).await.problem(status, code);
}

#[tokio::test]
async fn a_push_of_nothing_is_refused() {
    let Some(app) = app(Sqlite).await else { return };
    let push = async |source: &str, body: &'static str| {
        let request = app.operator.request(reqwest::Method::POST, &format!("/v1/events/{source}"));
        app.operator.send(request.header("content-type", "application/json").body(body)).await
    };
    for nothing in ["", " \n"] {
        let problem = push("d", nothing).await.problem(400, "invalid-body");
        assert!(problem.detail.contains("the body is empty"), "{problem:?}");
        push("nowhere", nothing).await.problem(404, "unknown-source");
    }
    push("d", "[]").await.status(202);
}

#[rstest]
#[case::an_endless_preamble("")]
#[case::an_endless_part_header("--X\r\nContent-Disposition: form-data; name=\"a")]
#[tokio::test]
async fn a_form_that_is_all_frame_and_no_content_is_refused_early(#[case] start: &'static str) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let piece = bytes::Bytes::from(vec![b'a'; 1 << 20]);
    let (sent, count) = (std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)), 200);
    let counted = sent.clone();
    let pieces = futures::stream::iter(0..count).map(move |n| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok::<_, std::io::Error>(if n == 0 {
            bytes::Bytes::from_static(start.as_bytes())
        } else {
            piece.clone()
        })
    });
    let request = acme
        .request(reqwest::Method::POST, "/v1/datasets")
        .header("content-type", "multipart/form-data; boundary=X")
        .body(reqwest::Body::wrap_stream(pieces));
    if let Ok(answer) = request.send().await {
        Answer::read(answer).await.problem(400, "invalid-body");
    }
    let sent = sent.load(std::sync::atomic::Ordering::Relaxed);
    assert!(sent < 50, "{sent} MB of {count} were taken");
    assert_eq!(acme.get("/v1/datasets").await.data(), json!([]));
}

/// Sends a body that is cut, under a length that it has and one that it has not: `invalid-body`, and nothing is left.
async fn cut_off(acme: &Customer, path: &str, kind: &str, body: &str) {
    for length in [1_000_000, body.len()] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\nContent-Length: \
             {length}\r\n\r\n{body}",
            acme.key
        );
        let heard = Wire::to(&acme.url).await.send(&request).await.end().await.closed().await;
        assert_eq!(statuses(&heard), ["400 Bad Request"], "{heard}");
        assert!(heard.contains("\"code\":\"invalid-body\""), "{heard}");
        assert_eq!(acme.get("/v1/datasets").await.data(), json!([]));
    }
}

#[tokio::test]
async fn an_upload_cut_off_in_the_middle_is_told_and_leaves_nothing() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let body = "--X\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\ncut\r\n--X\r\nContent-Disposition: \
                form-data; name=\"file\"; filename=\"cut.csv\"\r\n\r\na,b\n1,2\n";
    cut_off(&acme, "/v1/datasets", "multipart/form-data; boundary=X", body).await;
    acme.upload("next", "a\n1\n").await.created();
}

#[tokio::test]
async fn a_statement_cut_off_in_the_middle_is_told_and_the_next_is_served() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    cut_off(&acme, "/v1/sql", "application/json", "{\"sql\": \"SELECT 1").await;
    assert_eq!(acme.sql("SELECT 1 AS n").await.data(), json!([{"n": 1}]));
}

#[tokio::test]
async fn the_gateway_outlives_a_worker_and_says_which_limit() {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let before = app.pid();
    let rows: String = (0..2_000).map(|n| format!("{n}\n")).collect();
    acme.upload("wide", &format!("n\n{rows}")).await.created();
    let sql = "SELECT array_agg(concat(a.n, b.n, c.n)) AS x FROM my.wide a, my.wide b, my.wide c";
    let answer: Answer = acme.sql(sql).await;
    assert!(matches!(answer.status.as_u16(), 202 | 422), "{} {}", answer.status, answer.text());
    assert_eq!(acme.sql("SELECT 1 AS n").await.data(), json!([{"n": 1}]));
    assert_eq!(app.pid(), before);
}
