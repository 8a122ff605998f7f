//! Whole conversions: bytes in, rows or a refusal out.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use worker::{FileClient, Files, Limits, Refusal, Task};

use super::decode;
use super::request::{DecodeCaps, DecodeRequest, Decoded, TableColumn, UnknownColumns};
use crate::testing::shared_data;
use crate::upload::{Format, OnBadRows};

mod decimals;
mod parquet_files;

struct Content(Vec<Vec<u8>>);

#[async_trait]
impl Files for Content {
    async fn size(&self, index: usize) -> std::io::Result<u64> {
        Ok(self.0[index].len() as u64)
    }
    async fn read(&self, index: usize, range: Range<u64>) -> std::io::Result<Bytes> {
        Ok(Bytes::copy_from_slice(&self.0[index][range.start as usize..range.end as usize]))
    }
}

struct Done {
    decoded: Decoded,
    rows: Vec<Vec<String>>,
    rejects: Vec<Value>,
}

impl Done {
    fn types(&self) -> Vec<String> {
        self.decoded.columns.iter().map(|column| column.of.to_string()).collect()
    }
    fn names(&self) -> Vec<&str> {
        self.decoded.columns.iter().map(|column| column.name.as_str()).collect()
    }
}

fn request(name: &str) -> DecodeRequest {
    DecodeRequest {
        op: "decode".into(),
        file_name: Some(name.into()),
        format: None,
        types: Default::default(),
        decimal: None,
        on_bad_rows: OnBadRows::Fail,
        table: None,
        unknown: UnknownColumns::Refuse,
        instants_as_dates: false,
        key: Vec::new(),
        existing: Vec::new(),
        caps: DecodeCaps::default(),
    }
}

async fn run(request: DecodeRequest, files: Vec<Vec<u8>>) -> Result<Done, Refusal> {
    let scratch = tempfile::tempdir().unwrap();
    let task = Task {
        kind: "files".into(),
        request: serde_json::to_value(request).unwrap(),
        files: FileClient::here(Arc::new(Content(files))),
        scratch: scratch.path().to_owned(),
        deadline: Instant::now() + Duration::from_secs(600),
        limits: Arc::new(Limits { threads: 2, ..Limits::default() }),
    };
    let reply = decode(task).await;
    let left = || std::fs::read_dir(scratch.path()).unwrap().count();
    let reply = reply.inspect_err(|_| assert_eq!(left(), 0, "a refused file leaves nothing in scratch"))?;
    let decoded: Decoded = serde_json::from_value(reply.head).unwrap();
    let mut rows = Vec::new();
    for file in &decoded.files {
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(File::open(scratch.path().join(&file.path)).unwrap())
                .unwrap();
        for batch in reader.build().unwrap() {
            rows.extend(shown(&batch.unwrap()));
        }
    }
    let rejects = reply
        .body
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap());
    Ok(Done { rows, rejects: rejects.collect(), decoded })
}

fn shown(batch: &RecordBatch) -> Vec<Vec<String>> {
    let cell = |column: &ArrayRef, row| {
        if column.is_null(row) { "∅".into() } else { array_value_to_string(column, row).unwrap() }
    };
    (0..batch.num_rows())
        .map(|row| batch.columns().iter().map(|column| cell(column, row)).collect())
        .collect()
}

async fn file(name: &str, content: impl Into<Vec<u8>>) -> Result<Done, Refusal> {
    run(request(name), vec![content.into()]).await
}

async fn refused(name: &str, content: impl Into<Vec<u8>>, code: &str, word: &str) -> Refusal {
    match file(name, content).await {
        Ok(done) => panic!("{name} was taken: {:?}", done.rows.iter().take(3).collect::<Vec<_>>()),
        Err(refusal) => {
            assert_eq!(refusal.code, code, "{refusal:?}");
            assert!(refusal.detail.contains(word), "{word:?} is not in {:?}", refusal.detail);
            refusal
        }
    }
}

#[tokio::test]
async fn a_csv_gets_the_types_of_its_values() {
    let csv = "id,Code,Price,Big,Flag,Day,At,Note\n1,007,1.5,12345678901234567890,true,2026-01-31,2026-01-31T10:00:00Z,x\n2,12,NA,1,FALSE,2026-02-01,2026-02-01T00:00:00+01:00,\n";
    let done = file("a.csv", csv).await.unwrap();
    assert_eq!(
        done.types(),
        ["bigint", "text", "double", "decimal(20,0)", "boolean", "date", "timestamp", "text"]
    );
    assert_eq!(done.rows[0][1], "007");
    assert_eq!(done.rows[1], ["2", "12", "∅", "1", "false", "2026-02-01", "2026-01-31T23:00:00Z", "∅"]);
    assert_eq!(
        done.decoded.columns.iter().map(|column| column.nulls).collect::<Vec<_>>(),
        [0, 0, 1, 0, 0, 0, 0, 1]
    );
    assert_eq!((done.decoded.rows, done.decoded.columns[1].label.as_str()), (2, "Code"));
}

/// A file of three rows, where one may have `rows`.
async fn capped(name: &str, content: Vec<u8>, rows: u64) -> Result<Done, Refusal> {
    let caps = DecodeCaps { rows, ..DecodeCaps::default() };
    run(DecodeRequest { caps, on_bad_rows: OnBadRows::Reject, ..request(name) }, vec![content]).await
}

#[tokio::test]
async fn a_file_of_too_many_rows_is_refused_whatever_its_format() {
    let files = [
        ("a.csv", b"a,b\n1,2\n3,4\n5,6\n".to_vec()),
        ("b.csv", b"a,b\n1,2\n3,4\n5\n".to_vec()),
        ("a.ndjson", b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}".to_vec()),
        ("a.json", b"[{\"a\":1},{\"a\":2},{\"a\":3}]".to_vec()),
        ("a.parquet", parquet_files::of_rows(3)),
    ];
    for (name, content) in files {
        assert!(capped(name, content.clone(), 3).await.is_ok(), "{name}");
        let refused = capped(name, content, 2).await.err().unwrap();
        assert_eq!(refused.code, "file-malformed", "{name}");
        assert!(refused.detail.contains("more than the 2 rows"), "{name}: {}", refused.detail);
    }
}

#[tokio::test]
async fn a_fault_names_the_line_in_every_format_that_has_lines() {
    for (name, content, row, line) in [
        ("a.csv", "\"a\nb\",c\n1,2\n3\n", 2, 4),
        ("a.ndjson", "{\"a\":\"x\\ny\"}\n\n{\"a\":}\n", 2, 3),
        ("b.ndjson", "\n{\"a\":1}\n{\"a\":2}\n{\"a\":[\n", 3, 4),
        ("a.json", "[\n {\"a\":1},\n\n {\"a\":x}\n]", 2, 4),
    ] {
        let refusal = refused(name, content, "file-malformed", "").await;
        let place = &refusal.errors[0];
        assert_eq!((&place["row"], &place["line"]), (&row.into(), &line.into()), "{name}: {refusal:?}");
    }
    let typed = |name: &str| DecodeRequest { types: [("a".into(), "bigint".into())].into(), ..request(name) };
    let json = "[{\"a\":1},\n{\"a\":\n\"x\"}]".as_bytes().to_vec();
    let refusal = run(typed("a.json"), vec![json]).await.err().unwrap();
    assert_eq!(
        (&refusal.errors[0]["row"], &refusal.errors[0]["line"]),
        (&2.into(), &2.into()),
        "{refusal:?}"
    );
}

/// Larger than one piece, so that the first types are only tried.
fn long(header: &str, rows: usize, row: impl Fn(usize) -> String) -> String {
    let mut text = format!("{header}\n");
    (0..rows).for_each(|n| text.push_str(&row(n)));
    assert!(text.len() > 9 << 20, "{}", text.len());
    text
}

#[tokio::test]
async fn the_last_value_of_a_long_file_decides_its_type() {
    let last = 400_000;
    let text = long("id,code,amount,day,empty", last + 1, |n| match n {
        n if n == last => format!("{n},007,2.25,2026-13-01,x\n"),
        n => format!("{n},{n},{n},2026-01-{:02},\n", n % 28 + 1),
    });
    let done = file("a.csv", text).await.unwrap();
    assert_eq!(done.types(), ["bigint", "text", "double", "text", "text"]);
    assert_eq!(done.decoded.rows as usize, last + 1);
    assert_eq!(done.rows[last], [last.to_string().as_str(), "007", "2.25", "2026-13-01", "x"]);
    assert_eq!(done.decoded.columns[4].nulls as usize, last);
    // The rows keep the file's order.
    assert!(done.rows.iter().enumerate().all(|(n, row)| row[0] == n.to_string()));
}

#[tokio::test]
async fn day_first_is_found_by_one_value_far_down() {
    let last = 700_000;
    let text = long("day,n", last + 1, |n| {
        if n == last {
            "31/01/2026,1\n".into()
        } else {
            format!("{:02}/{:02}/2026,{n}\n", n % 12 + 1, n % 11 + 1)
        }
    });
    let done = file("a.csv", text).await.unwrap();
    assert_eq!(done.types(), ["date", "bigint"]);
    assert_eq!(done.rows[1][0], "2026-02-02");
    assert_eq!(done.rows[last][0], "2026-01-31");
}

#[tokio::test]
async fn unclear_dates_stay_text_unless_asked_for() {
    let csv = "d\n01/02/2026\n03/04/2026\n";
    assert_eq!(file("a.csv", csv).await.unwrap().types(), ["text"]);
    let mut asked = request("a.csv");
    asked.types.insert("d".into(), "date".into());
    let refusal = run(asked, vec![csv.into()]).await.err().unwrap();
    assert!(refusal.detail.contains("day-first"), "{}", refusal.detail);
}

#[tokio::test]
async fn a_bad_row_in_a_long_file_is_named_by_its_row() {
    let bad = 500_000;
    let text =
        long("a,b", bad + 1000, |n| if n == bad { "1,2,3\n".into() } else { format!("{n},some text {n}\n") });
    let refusal = refused("a.csv", text, "file-malformed", "500001").await;
    assert_eq!(
        (&refusal.errors[0]["row"], &refusal.errors[0]["line"]),
        (&(bad + 1).into(), &(bad + 2).into())
    );
    assert!(refusal.errors[0]["reason"].as_str().unwrap().contains("3 values"));
    assert_eq!(refusal.errors[0]["value"], "1,2,3");
}

#[tokio::test]
async fn broken_csv_is_refused_with_its_place() {
    let nul = refused("a.csv", "a,b\n1,x\0y\n", "file-malformed", "NUL").await;
    assert_eq!((&nul.errors[0]["row"], &nul.errors[0]["column"]), (&1.into(), &"b".into()));
    let open = refused("a.csv", "a,b\n1,2\n3,\"open\n5,6\n", "file-malformed", "never closed").await;
    assert_eq!(open.errors[0]["row"], 2);
    refused("a.csv", format!("a,b\n1,2\n3,\"{}", "x".repeat(40 << 20)), "file-malformed", "longer than")
        .await;
    refused("a.csv", format!("a,b\n1,{}\n", "x".repeat(100 << 20)), "file-malformed", "longer than").await;
    refused("a.csv", format!("{}\n1\n", vec!["c"; 10_000].join(",")), "file-malformed", "10000 columns")
        .await;
    refused("a.csv", "", "file-malformed", "empty").await;
    refused("a.csv", "a,b\n\"x\" y,2\n", "file-malformed", "closing quote").await;
}

#[tokio::test]
async fn bad_rows_are_set_aside_where_asked() {
    let mut asked = request("a.csv");
    asked.on_bad_rows = OnBadRows::Reject;
    asked.types.insert("n".into(), "bigint".into());
    let csv = "n,t\n1,a\nx,b\n3\n4,d\n5,\0\n";
    let done = run(asked, vec![csv.into()]).await.unwrap();
    assert_eq!(done.rows, [["1", "a"], ["4", "d"]]);
    assert_eq!(done.decoded.rejects, 3);
    let rows: Vec<_> = done.rejects.iter().map(|reject| reject["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, [2, 3, 5]);
    assert_eq!(
        (&done.rejects[0]["column"], &done.rejects[0]["value"], &done.rejects[0]["reason"]),
        (&"n".into(), &"x".into(), &"is no bigint".into())
    );
}

#[tokio::test]
async fn given_types_are_kept_to() {
    let mut asked = request("a.csv");
    asked.types =
        [("Id No".to_owned(), "text".to_owned()), ("v".to_owned(), "decimal(10,2)".to_owned())].into();
    let done = run(asked.clone(), vec![b"Id No,v\n1,1.5\n2,2\n".to_vec()]).await.unwrap();
    assert_eq!(
        (done.types(), done.names()),
        (vec!["text".to_owned(), "decimal(10,2)".to_owned()], vec!["id_no", "v"])
    );
    let refusal = run(asked.clone(), vec![b"Id No,v\n1,1.555\n".to_vec()]).await.err().unwrap();
    assert_eq!((&refusal.errors[0]["column"], &refusal.errors[0]["value"]), (&"v".into(), &"1.555".into()));
    asked.types.insert("absent".into(), "text".into());
    assert_eq!(run(asked, vec![b"Id No,v\n1,1\n".to_vec()]).await.err().unwrap().code, "invalid-parameter");
}

#[tokio::test]
async fn encodings_are_told_apart() {
    for content in [
        &b"name,n\ncaf\xe9,1\n"[..],
        b"\xff\xfen\0a\0m\0e\0,\0n\0\n\0c\0a\0f\0\xe9\0,\x001\0\n\0",
        "\u{feff}name,n\ncafé,1\n".as_bytes(),
        "name,n\ncafé,1\n".as_bytes(),
    ] {
        let done = file("a.csv", content).await.unwrap();
        assert_eq!((done.names(), &done.rows[0][0]), (vec!["name", "n"], &"café".to_owned()));
    }
    refused("a.csv", b"name\ncaf\xc3\xa9\nx\xff\n".to_vec(), "file-malformed", "UTF-8").await;
}

#[tokio::test]
async fn json_in_both_forms_becomes_a_table() {
    let lines = "{\"id\":1,\"name\":\"x\",\"at\":\"2026-01-01T00:00:00Z\",\"zip\":\"007\"}\n{\"id\":2.5,\"tags\":[\"a\",{\"b\":1}],\"ok\":true,\"zip\":\"12\"}\n";
    let array = "[{\"id\":1,\"name\":\"x\",\"at\":\"2026-01-01T00:00:00Z\",\"zip\":\"007\"},\n {\"id\":2.5,\"tags\":[\"a\",{\"b\":1}],\"ok\":true,\"zip\":\"12\"}]";
    for (name, content) in [("a.ndjson", lines), ("a.json", array), ("a.json", lines)] {
        let done = file(name, content).await.unwrap();
        assert_eq!(done.names(), ["id", "name", "at", "zip", "tags", "ok"]);
        assert_eq!(done.types(), ["double", "text", "timestamp", "text", "text", "boolean"]);
        assert_eq!(done.rows[1], ["2.5", "∅", "∅", "12", "[\"a\",{\"b\":1}]", "true"]);
    }
}

#[tokio::test]
async fn a_long_array_is_read_in_pieces_and_a_late_key_is_a_column() {
    let last = 300_000;
    let mut text = String::from("[");
    (0..last).for_each(|n| text.push_str(&format!("{{\"n\":{n},\"s\":\"row, {n} ]}}\"}},\n")));
    text.push_str("{\"n\":-1,\"late\":true}]");
    let done = file("a.json", text).await.unwrap();
    assert_eq!((done.names(), done.decoded.rows), (vec!["n", "s", "late"], last + 1));
    assert_eq!(done.rows[300_000], ["-1", "∅", "true"]);
    assert_eq!(done.rows[123_456], ["123456", "row, 123456 ]}", "∅"]);
}

#[tokio::test]
async fn broken_json_is_refused() {
    let line = refused("a.ndjson", "{\"a\":1}\n{\"a\":\n{\"a\":3}\n", "file-malformed", "row 2").await;
    assert_eq!(line.errors[0]["row"], 2);
    refused("a.json", "[{\"a\":1},{\"a\":2}", "file-malformed", "not closed").await;
    let deep = format!("{{\"a\":{}1{}}}\n", "[".repeat(10_000), "]".repeat(10_000));
    refused("a.ndjson", deep.clone(), "file-malformed", "nested deeper than 64").await;
    refused("a.json", format!("[{deep}]"), "file-malformed", "nested deeper than 64").await;
    let wide: String = (0..3_000).map(|n| format!("{{\"k{n}\":1}}\n")).collect();
    refused("a.ndjson", wide, "file-malformed", "2000 columns").await;
    refused("a.json", "[1,2]", "file-malformed", "no JSON object").await;
}

#[tokio::test]
async fn compressed_files_are_read_and_bombs_refused() {
    let csv = "a,b\n1,x\n2,y\n";
    let gzip = |content: &[u8]| {
        let mut pack = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        pack.write_all(content).unwrap();
        pack.finish().unwrap()
    };
    assert_eq!(file("a.csv.gz", gzip(csv.as_bytes())).await.unwrap().rows.len(), 2);
    assert_eq!(file("a.csv.zst", zstd::encode_all(csv.as_bytes(), 3).unwrap()).await.unwrap().rows.len(), 2);
    assert_eq!(file("data", gzip(csv.as_bytes())).await.unwrap().rows.len(), 2);
    let bomb = format!("a\n{}", "0\n".repeat(60 << 20));
    refused("a.csv.gz", gzip(bomb.as_bytes()), "file-malformed", "100 times").await;
    refused("a.csv.zst", zstd::encode_all(bomb.as_bytes(), 3).unwrap(), "file-malformed", "100 times").await;
    let mut cut = gzip(csv.repeat(1000).as_bytes());
    cut.truncate(cut.len() / 2);
    refused("a.csv.gz", cut, "file-malformed", "ends too early").await;
    refused("a.csv.gz", gzip(&gzip(csv.as_bytes())), "unsupported-format", "twice").await;
    refused("a.csv.gz", csv, "unsupported-format", "not compressed").await;
}

#[tokio::test]
async fn what_is_mislabelled_or_not_taken_is_refused() {
    refused("a.parquet", "a,b\n1,2\n", "unsupported-format", "CSV").await;
    refused("a.csv", "{\"a\":1}\n", "unsupported-format", "JSON").await;
    refused("a.csv", "PK\x03\x04rest", "unsupported-format", "zip").await;
    refused("book.xlsx", "PK\x03\x04rest", "unsupported-format", "xlsx").await;
    let mut asked = request("data");
    asked.format = Some(Format::Ndjson);
    assert_eq!(run(asked, vec![b"a,b\n1,2\n".to_vec()]).await.err().unwrap().code, "unsupported-format");
}

#[tokio::test]
async fn rows_for_a_table_go_by_its_columns_and_types() {
    let mut asked = request("a.csv");
    let column = |name: &str, of: &str| TableColumn { name: name.into(), of: of.parse().unwrap() };
    asked.table = Some(vec![column("id", "bigint"), column("name", "text"), column("day", "date")]);
    let done = run(asked.clone(), vec![b"Name,ID\nx,1\n2026-01-01,2\n".to_vec()]).await.unwrap();
    assert_eq!(
        (done.names(), &done.rows[1]),
        (vec!["id", "name", "day"], &vec!["2".to_owned(), "2026-01-01".to_owned(), "∅".to_owned()])
    );
    let refusal = run(asked.clone(), vec![b"id,name\n1,x\n2.5,y\n".to_vec()]).await.err().unwrap();
    assert_eq!(
        (&refusal.errors[0]["row"], &refusal.errors[0]["column"], &refusal.errors[0]["value"]),
        (&2.into(), &"id".into(), &"2.5".into())
    );
    let foreign = run(asked, vec![b"id,other\n1,x\n".to_vec()]).await.err().unwrap();
    assert_eq!(foreign.code, "schema-mismatch");
    assert_eq!(foreign.detail, "the dataset has no column `other`, and the file has no column `name`, `day`");
    let reasons: Vec<_> =
        foreign.errors.iter().map(|e| (e["column"].as_str(), e["reason"].as_str())).collect();
    let absent = Some("is not in the file");
    assert_eq!(
        reasons,
        [(Some("other"), Some("is not in the dataset")), (Some("name"), absent), (Some("day"), absent)]
    );
}

#[tokio::test]
async fn lines_are_counted_over_pieces_breaks_and_empty_lines() {
    let bad = 500_000;
    let text = long("a,b", bad + 10, |n| match n {
        7 => "\n\n7,\"two\nlines and a \"\"quote\"\"\"\n".into(),
        n if n == bad => "x,1,2\n".into(),
        n => format!("{n},some text {n}\n"),
    });
    let refusal = refused("a.csv", text, "file-malformed", "500001").await;
    assert_eq!((&refusal.errors[0]["row"], &refusal.errors[0]["line"]), (&500_001.into(), &500_005.into()));
    let mut asked = request("a.csv");
    asked.types.insert("a".into(), "bigint".into());
    let typed = run(asked, vec![b"sep=,\r\na,b\r\n1,\"x\r\ny\"\r\nz,2\r\n".to_vec()]).await.err().unwrap();
    assert_eq!((&typed.errors[0]["row"], &typed.errors[0]["line"]), (&2.into(), &5.into()));
}

#[tokio::test]
async fn a_record_of_another_length_is_told_beside_the_header() {
    let refusal = refused("a.csv", "id,name\n1,x\n2\n", "file-malformed", "row 2").await;
    assert_eq!(refusal.detail, "row 2: the record has 1 value where the header has 2 (`id`, `name`)");
    let open = refused("a.csv", "a,b\n1,\"x\n", "file-malformed", "row 1").await;
    assert_eq!(open.detail, "row 1: the record opens a quote that is never closed");
}

#[tokio::test]
async fn lines_of_only_delimiters_are_dropped_at_the_end_and_rows_of_nulls_before() {
    let done = file("a.csv", "a,b\n1,x\n,\n2,y\n,\n,\n\n").await.unwrap();
    assert_eq!(done.rows, [["1", "x"], ["∅", "∅"], ["2", "y"]]);
    let empty = file("a.csv", "a;b\r\n;\r\n;").await.unwrap();
    assert_eq!((empty.decoded.rows, empty.names()), (0, vec!["a", "b"]));
    let text = long("n,t", 5_000_000, |n| if n == 3 { "1,x\n".into() } else { ",\n".into() });
    let blank = file("a.csv", text).await.unwrap();
    assert_eq!(blank.decoded.rows, 4);
}

#[tokio::test]
async fn keys_stand_once_and_are_never_null() {
    let mut asked = request("a.csv");
    asked.key = vec!["ID".into(), "day".into()];
    assert_eq!(
        run(asked.clone(), vec![b"ID,day,v\n1,1,a\n1,2,b\n".to_vec()]).await.unwrap().decoded.key,
        ["id", "day"]
    );
    let twice = run(asked.clone(), vec![b"ID,day,v\n1,1,a\n1,2,b\n1,1,c\n".to_vec()]).await.err().unwrap();
    assert_eq!((&twice.errors[0]["row"], &twice.errors[0]["value"]), (&3.into(), &"1, 1".into()));
    let null = run(asked.clone(), vec![b"ID,day,v\n1,1,a\n,2,b\n".to_vec()]).await.err().unwrap();
    assert_eq!((&null.errors[0]["row"], &null.errors[0]["column"]), (&2.into(), &"id".into()));
    asked.key = vec!["absent".into()];
    assert_eq!(run(asked, vec![b"ID\n1\n".to_vec()]).await.err().unwrap().code, "invalid-parameter");
}

#[tokio::test]
async fn real_files_are_read_as_they_are() {
    let Some(weather) = shared_data("nyc-weather-hourly.csv") else { return };
    let done = file("nyc-weather-hourly.csv", weather).await.unwrap();
    assert_eq!(done.decoded.rows, 26_115);
    let type_of = |done: &Done, name: &str| {
        done.decoded
            .columns
            .iter()
            .find(|column| column.name == name)
            .map(|column| column.of.to_string())
            .expect("column")
    };
    assert_eq!(type_of(&done, "temp"), "double");
    assert_eq!(type_of(&done, "year"), "bigint");
    assert_eq!(type_of(&done, "time_hour"), "timestamp");
    let seattle = file("seattle-weather.csv", shared_data("seattle-weather.csv").unwrap()).await.unwrap();
    assert_eq!((seattle.decoded.rows, type_of(&seattle, "date").as_str()), (1_461, "date"));
    let iowa = file("iowa-electricity.csv", shared_data("iowa-electricity.csv").unwrap()).await.unwrap();
    assert_eq!((iowa.decoded.rows, iowa.types()), (51, vec!["date".into(), "text".into(), "bigint".into()]));
    let capitals =
        file("us-state-capitals.json", shared_data("us-state-capitals.json").unwrap()).await.unwrap();
    assert_eq!((capitals.decoded.rows, capitals.names()), (50, vec!["lon", "lat", "state", "city"]));
}
