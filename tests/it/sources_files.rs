//! Files of partners, wherever they are: each lands once, as it is now, whatever happens between.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::Stack::Sqlite;
use harness::{Customer, Fault, FileStub, FtpServer, Options, S3, TestApp};
use rstest::rstest;
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::shared::{options, spoken};

/// How long a file may take to land.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The default lake whose source A is looked at each second, with these keys instead of its folder.
pub fn lake_with(keys: &str) -> PathBuf {
    lake([("us-jfk", "JFK", 40.6398, -73.7789), ("us-ewr", "EWR", 40.69, -74.17)], |definition| {
        let (before, rest) = definition.split_once("[sources.a]").unwrap();
        let (_, after) = rest.split_once("[sources.b]").unwrap();
        let head = "kind = \"files\"\ntable = \"source_a.activity\"\nevery = \"1s\"\ndated = \"day\"\nlag_days = 3\n";
        without_weather(format!("{before}[sources.a]\n{head}{keys}\n\n[sources.b]{after}"))
    })
}

pub async fn server(keys: &str) -> Option<TestApp> {
    server_with(keys, Vec::new()).await
}

async fn server_with(keys: &str, env: Vec<(String, String)>) -> Option<TestApp> {
    TestApp::start(Options { lake_file: Some(lake_with(keys)), sources: true, env, ..options(Sqlite) }).await
}

/// A file of source A about one region.
pub fn csv(visits: u32) -> String {
    format!("region_id,activity_index,visits\nus-jfk,0.5,{visits}\n")
}

/// `day visits` of each row of source A.
pub async fn rows(acme: &Customer) -> Vec<String> {
    let rows = acme.get("/v1/tables/source_a/activity/rows?order=day,region_id").await.data();
    let row = |row: &Value| format!("{} {}", row["day"].as_str().unwrap(), row["visits"]);
    rows.as_array().unwrap().iter().map(row).collect()
}

/// Waits until source A has these rows.
pub async fn lands(app: &TestApp, acme: &Customer, expected: &[&str]) {
    let since = Instant::now();
    while rows(acme).await != expected {
        assert!(since.elapsed() < PATIENCE, "{:?}, not {expected:?}\n{}", rows(acme).await, spoken(app));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The files in the raw area of source A, manifests aside.
pub fn raw(app: &TestApp) -> Vec<String> {
    let mut found = Vec::new();
    for day in std::fs::read_dir(app.folder.join("objects/raw/a")).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(day.path()).unwrap().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if !name.ends_with("manifest.ndjson") {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

/// How many files were set aside, by the metric.
async fn set_aside(app: &TestApp) -> u64 {
    let text = app.operator.get("/metrics").await.status(200).text();
    let line = text.lines().find(|l| l.starts_with("lakefront_source_set_aside_total{source=\"a\"}"));
    line.and_then(|l| l.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

async fn quiet() {
    tokio::time::sleep(Duration::from_millis(2_500)).await;
}

pub fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let part = folder.join(format!("{name}.part"));
    std::fs::write(&part, bytes).unwrap();
    std::fs::rename(part, folder.join(name)).unwrap();
}

#[tokio::test]
async fn a_folder_takes_every_format_of_uploads_once_and_puts_rubbish_aside() {
    let Some(app) = server("from.folder = \"a\"\nsettle_ms = 300").await else { return };
    let acme = app.customer("acme").await;
    let inbox = app.folder.join("sources/inbox/a");
    // What an upload would be converted to is a Parquet file of somebody else's making.
    acme.upload("prices", &csv(3)).await.created();
    let parquet = acme.get("/v1/tables/my/prices/rows?format=parquet").await.status(200).body;
    write(&inbox, "a-2021-10-04.csv", csv(1));
    write(&inbox, "a-2021-10-05.ndjson", r#"{"region_id":"us-jfk","activity_index":0.5,"visits":2}"#);
    write(&inbox, "a-2021-10-06.parquet", parquet);
    write(&inbox, "a-2021-10-07.json", r#"[{"region_id":"us-jfk","activity_index":0.5,"visits":4}]"#);
    write(&inbox, "a-2021-10-08.csv", [0x1f, 0x8b, 8, 0, 0, 1, 2, 3, 0xff]);
    write(&inbox, "a-2021-10-09.csv", "region_id;activity_index;visits\r\nus-jfk;0,5;6\r\n");
    let all = ["2021-10-01 1", "2021-10-02 2", "2021-10-03 3", "2021-10-04 4", "2021-10-06 6"];
    lands(&app, &acme, &all).await;
    assert_eq!(set_aside(&app).await, 1, "{}", spoken(&app));
    // The same file again, under its own and another name, is none.
    write(&inbox, "a-2021-10-04.csv", csv(1));
    write(&inbox, "copy-of-a-2021-10-04.csv", csv(1));
    quiet().await;
    assert_eq!((raw(&app).len(), set_aside(&app).await), (6, 1), "{:?}", raw(&app));
    write(&inbox, "a-2021-10-04.csv", csv(10));
    lands(&app, &acme, &["2021-10-01 10", all[1], all[2], all[3], all[4]]).await;
    assert_eq!(raw(&app).len(), 7);
}

#[tokio::test]
async fn a_file_is_dated_by_its_own_instants_under_their_name_else_by_the_day_it_came() {
    let Some(app) = server("from.folder = \"a\"\npaths = { day = \"Seen at\" }").await else { return };
    let (acme, inbox) = (app.customer("acme").await, app.folder.join("sources/inbox/a"));
    let own = "Seen at,region_id,activity_index,visits\n2021-10-04T06:00:00Z,us-jfk,0.5,1\n\
               2021-10-05 23:30:00-02:00,us-jfk,0.5,2\n";
    write(&inbox, "dated.csv", own);
    lands(&app, &acme, &["2021-10-04 1", "2021-10-06 2"]).await;
    // One that tells no day, in its rows or its name, is about the day it came, less the source's lag.
    let came = chrono::Utc::now().date_naive() - chrono::TimeDelta::days(3);
    write(&inbox, "undated.csv", csv(7));
    lands(&app, &acme, &["2021-10-04 1", "2021-10-06 2", &format!("{came} 7")]).await;
    assert_eq!(set_aside(&app).await, 0);
}

#[tokio::test]
async fn a_listing_gives_its_files_through_half_bodies_and_broken_answers() {
    let stub = FileStub::start().unwrap();
    let keys = format!("from.http = {{ url = \"{}/index.html\", allow_private = true }}", stub.url);
    let Some(app) = server(&keys).await else { return };
    let acme = app.customer("acme").await;
    stub.fail("/index.html", &[Fault::Broken]);
    stub.fail("/a-2021-10-04.csv", &[Fault::HalfBody, Fault::Busy, Fault::HalfBody]);
    stub.put("/a-2021-10-04.csv", csv(1));
    stub.put("/notes.txt.part", "not yet");
    lands(&app, &acme, &["2021-10-01 1"]).await;
    stub.put("/a-2021-10-05.csv", csv(2));
    lands(&app, &acme, &["2021-10-01 1", "2021-10-02 2"]).await;
    stub.put("/a-2021-10-04.csv", csv(7));
    stub.put("/a-2021-10-06.csv", [0xff; 100]);
    lands(&app, &acme, &["2021-10-01 7", "2021-10-02 2"]).await;
    quiet().await;
    let whole = |path: &str| stub.requests().iter().filter(|r| **r == format!("{path} 200")).count();
    assert_eq!(whole("/a-2021-10-05.csv"), 1, "{:?}", stub.requests());
    assert_eq!((raw(&app).len(), set_aside(&app).await), (4, 1), "{:?}", raw(&app));
}

#[tokio::test]
async fn a_json_listing_that_tells_tags_is_not_asked_twice_and_credentials_are_not_told() {
    let stub = FileStub::start().unwrap();
    let keys = format!(
        "[sources.a.from.http]\nurl = \"{}/list.json\"\nallow_private = true\nuser = \"partner\"\n\
         password = {{ env = \"A_PASSWORD\" }}",
        stub.url
    );
    stub.demand("Basic cGFydG5lcjpjb3JyZWN0LWhvcnNl"); // partner:correct-horse
    stub.put("/a-2021-10-04.csv", csv(1));
    let Some(app) = server_with(&keys, vec![("A_PASSWORD".into(), "correct-horse".into())]).await else {
        return;
    };
    let acme = app.customer("acme").await;
    lands(&app, &acme, &["2021-10-01 1"]).await;
    stub.put("/a-2021-10-04.csv", csv(2));
    lands(&app, &acme, &["2021-10-01 2"]).await;
    quiet().await;
    let asked = stub.requests().iter().filter(|r| r.starts_with("/a-2021-10-04.csv")).count();
    assert_eq!(asked, 2, "{:?}", stub.requests());
    stub.demand("Basic other");
    quiet().await;
    let log = spoken(&app);
    assert!(log.contains("401") && !log.contains("correct-horse") && !log.contains("cGFydG5l"), "{log}");
}

#[tokio::test]
async fn an_address_with_the_day_in_it_gives_late_and_corrected_files() {
    let stub = FileStub::start().unwrap();
    let keys = format!(
        "from.http = {{ url = \"{}/a/{{date:%Y%m%d}}/a.csv\", days = 3, allow_private = true }}",
        stub.url
    );
    let Some(app) = server(&keys).await else { return };
    let acme = app.customer("acme").await;
    let today = chrono::Utc::now().date_naive();
    let day = |back: i64| today - chrono::TimeDelta::days(back);
    let path = |back: i64| format!("/a/{}/a.csv", day(back).format("%Y%m%d"));
    let row = |back: i64, visits: u32| format!("{} {visits}", day(back + 3));
    stub.put(&path(1), csv(1));
    stub.put(&path(9), csv(9));
    lands(&app, &acme, &[&row(1, 1)]).await;
    stub.put(&path(2), csv(2));
    lands(&app, &acme, &[&row(2, 2), &row(1, 1)]).await;
    stub.put(&path(1), csv(5));
    lands(&app, &acme, &[&row(2, 2), &row(1, 5)]).await;
    quiet().await;
    assert_eq!(raw(&app).len(), 3, "{:?}", stub.requests());
}

#[tokio::test]
async fn a_server_of_a_private_network_is_not_asked_unless_the_lake_says_so() {
    let stub = FileStub::start().unwrap();
    let keys = format!("from.http = {{ url = \"{}/index.html\" }}", stub.url);
    let lake = lake_with(&keys);
    let Some(mut app) = TestApp::start(options(Sqlite)).await else { return };
    // a server would do the verb's work, with the lake it has
    app.kill();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lakefront"))
        .args(["run", "a", "--config"])
        .arg(app.folder.join("lakefront.toml"))
        .env("LAKEFRONT__LAKE__FILE", lake)
        .env("LAKEFRONT__LAKE__STATE", app.folder.join("other"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no public address"), "{said}");
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn a_prefix_of_a_bucket_gives_new_and_changed_objects() {
    let Some(store) = S3::start().await else { return };
    let keys = format!(
        "[sources.a.from.store]\nurl = \"s3://lake/partner\"\nallow_private = true\n\
         options = {{ allow_http = \"true\", aws_endpoint = {:?}, aws_region = \"us-east-1\", aws_access_key_id = \"tests\" }}\n\
         secrets = {{ aws_secret_access_key = {{ env = \"A_SECRET\" }} }}",
        store.url()
    );
    store.put("elsewhere/a-2021-10-03.csv", csv(9)).await.unwrap();
    store.put("partner/2021/a-2021-10-04.csv", csv(1)).await.unwrap();
    let secret = ("A_SECRET".to_owned(), "correct-horse-battery".to_owned());
    let Some(mut app) = server_with(&keys, vec![secret]).await else { return };
    let acme = app.customer("acme").await;
    lands(&app, &acme, &["2021-10-01 1"]).await;
    store.put("partner/2021/a-2021-10-04.csv", csv(2)).await.unwrap();
    store.put("partner/a-2021-10-05.csv", csv(3)).await.unwrap();
    lands(&app, &acme, &["2021-10-01 2", "2021-10-02 3"]).await;
    app.kill();
    app.resume().await;
    quiet().await;
    assert_eq!((rows(&acme).await.len(), raw(&app).len()), (2, 3), "{:?}", raw(&app));
    assert!(!app.log().contains("correct-horse"));
}

#[rstest]
#[tokio::test]
async fn a_folder_of_an_ftp_server_gives_whole_files(#[values(false, true)] tls: bool) {
    let keys = tempfile::tempdir().unwrap();
    let certificate = if tls { FtpServer::certificate(keys.path()) } else { None };
    let Some(ftp) = FtpServer::start(certificate.as_deref()).await else { return };
    let password = keys.path().join("password");
    std::fs::write(&password, FtpServer::PASSWORD).unwrap();
    std::fs::create_dir(ftp.folder.join("out going")).unwrap();
    let (scheme, trusted) = match tls {
        true => ("ftps", format!("ca_file = {:?}\n", keys.path().join("cert.pem").display().to_string())),
        false => ("ftp", String::new()),
    };
    let keys = format!(
        "settle_ms = 200\n[sources.a.from.ftp]\nurl = \"{scheme}://{}/out%20going\"\nuser = \"partner\"\n{trusted}\
         password = {{ file = {:?} }}\nallow_private = true",
        ftp.address(),
        password.display().to_string()
    );
    let Some(app) = server(&keys).await else { return };
    let (acme, folder) = (app.customer("acme").await, ftp.folder.join("out going"));
    write(&folder, "a-2021-10-04.csv", csv(1));
    std::fs::write(folder.join("a-2021-10-05.csv.part"), csv(2)).unwrap();
    lands(&app, &acme, &["2021-10-01 1"]).await;
    // Long enough to come in pieces, and dated by a column of its own.
    let day = |n: i64| chrono::NaiveDate::default() + chrono::TimeDelta::days(n);
    let head = String::from("day,region_id,activity_index,visits\n");
    let long = (0..12_000).fold(head, |text, n| text + &format!("{},us-jfk,0.5,{n}\n", day(n)));
    write(&folder, "a-2021-10-06.csv", &long);
    let count = async || acme.sql("SELECT count(*) AS n FROM source_a.activity").await.data()[0]["n"].clone();
    let since = Instant::now();
    while count().await != 12_001 {
        assert!(since.elapsed() < PATIENCE, "{:?} {}", count().await, spoken(&app));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(raw(&app).len(), 2, "{:?}", raw(&app));
    std::fs::write(&password, "another").unwrap();
    let since = Instant::now();
    while !spoken(&app).contains("does not let `partner` in") {
        assert!(since.elapsed() < PATIENCE, "{}", spoken(&app));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(
        !app.log().contains(FtpServer::PASSWORD) && !spoken(&app).contains("another"),
        "{}",
        spoken(&app)
    );
}

#[tokio::test]
async fn a_late_and_a_corrected_file_of_an_ftp_server_land_in_their_own_days() {
    let Some(ftp) = FtpServer::start(None).await else { return };
    let keys = format!(
        "settle_ms = 200\n[sources.a.from.ftp]\nurl = \"ftp://{}/out\"\nuser = \"partner\"\n\
         password = {{ env = \"A_PASSWORD\" }}\nallow_private = true",
        ftp.address()
    );
    let folder = ftp.folder.join("out");
    std::fs::create_dir(&folder).unwrap();
    let secret = ("A_PASSWORD".to_owned(), FtpServer::PASSWORD.to_owned());
    let Some(app) = server_with(&keys, vec![secret]).await else { return };
    let acme = app.customer("acme").await;
    write(&folder, "a-2021-10-05.csv", csv(2));
    lands(&app, &acme, &["2021-10-02 2"]).await;
    write(&folder, "a-2021-10-04.csv", csv(1));
    lands(&app, &acme, &["2021-10-01 1", "2021-10-02 2"]).await;
    write(&folder, "a-2021-10-05.csv", csv(20));
    lands(&app, &acme, &["2021-10-01 1", "2021-10-02 20"]).await;
    quiet().await;
    assert_eq!((raw(&app).len(), set_aside(&app).await), (3, 0), "{:?}", raw(&app));
}

#[rstest]
#[case("source.after-raw")]
#[case("source.after-row")]
#[case("publish.after-parquet")]
#[case("publish.after-commit")]
#[tokio::test]
async fn a_file_over_http_lands_once_though_the_process_is_killed(#[case] point: &str) {
    let stub = FileStub::start().unwrap();
    let keys = format!("from.http = {{ url = \"{}/list.json\", allow_private = true }}", stub.url);
    let Some(mut app) = server(&keys).await else { return };
    let acme = app.customer("acme").await;
    stub.put("/a-2021-10-04.csv", csv(1));
    lands(&app, &acme, &["2021-10-01 1"]).await;
    // the models behind it too: what they owe would pass the point at the next start
    quiet().await;
    app.kill();
    app.set_env(vec![("LAKEFRONT_FAILPOINTS".into(), point.into())]);
    app.resume().await;
    stub.put("/a-2021-10-05.ndjson", r#"{"region_id":"us-jfk","activity_index":0.5,"visits":2}"#);
    assert!(app.ended(Duration::from_secs(30)).await, "{point} was not reached");
    app.set_env(Vec::new());
    app.resume().await;
    lands(&app, &acme, &["2021-10-01 1", "2021-10-02 2"]).await;
    quiet().await;
    lands(&app, &acme, &["2021-10-01 1", "2021-10-02 2"]).await;
    assert_eq!(raw(&app).len(), 2, "{:?}", raw(&app));
}

#[tokio::test]
async fn a_source_stops_at_what_drifts_where_its_lake_says_so() {
    let Some(app) = server("from.folder = \"a\"\ndrift = \"refuse\"").await else { return };
    let (acme, inbox) = (app.customer("acme").await, app.folder.join("sources/inbox/a"));
    write(&inbox, "a-2021-10-04.csv", csv(1));
    lands(&app, &acme, &["2021-10-01 1"]).await;
    write(&inbox, "a-2021-10-05.csv", "region_id,activity_index,visits,shops\nus-jfk,0.5,2,7\n");
    write(&inbox, "a-2021-10-06.csv", csv(3));
    let since = Instant::now();
    while !spoken(&app).contains("the file `a-2021-10-05.csv` does not fit") {
        assert!(since.elapsed() < PATIENCE, "{}", spoken(&app));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    quiet().await;
    lands(&app, &acme, &["2021-10-01 1"]).await;
    assert!(spoken(&app).contains("`shops`"), "{}", spoken(&app));
    assert_eq!(set_aside(&app).await, 0);
}

#[tokio::test]
async fn units_of_the_files_are_converted_and_an_unknown_one_is_refused() {
    let table = "[[tables]]\nname = \"probe.air\"\narea = \"curated\"\ndescription = \"x\"\nkey = [\"region_id\", \"day\"]\n\
         sort = [\"region_id\", \"day\"]\ncolumns = [\n\
         { name = \"region_id\", type = \"text\", description = \"x\" },\n\
         { name = \"day\", type = \"date\", description = \"x\" },\n\
         { name = \"air_temperature\", type = \"double\", unit = \"degC\", description = \"x\" },\n]\n";
    let folder = |unit: &str| {
        let source = format!(
            "[sources.air]\nkind = \"files\"\ntable = \"probe.air\"\nevery = \"1s\"\ndated = \"day\"\n\
             from.folder = \"air\"\nunits = {{ air_temperature = {unit:?} }}\n\n"
        );
        lake([("us-jfk", "JFK", 40.6398, -73.7789)], |definition| {
            without_weather(definition).replacen("[sources.d]", &format!("{source}[sources.d]"), 1) + table
        })
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_lakefront"))
        .args(["run", "air"])
        .current_dir(&elsewhere)
        .env("LAKEFRONT__LAKE__FILE", folder("cubit"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success() && said.contains("unknown unit `cubit`"), "{said}");
    let own = Options { lake_file: Some(folder("degF")), sources: true, ..options(Sqlite) };
    let Some(app) = TestApp::start(own).await else { return };
    let acme = app.customer("acme").await;
    write(&app.folder.join("sources/inbox/air"), "2021-10-04.csv", "region_id,air_temperature\nus-jfk,212\n");
    let since = Instant::now();
    loop {
        let rows = acme.get("/v1/tables/probe/air/rows").await.data();
        if rows.as_array().is_some_and(|rows| !rows.is_empty()) {
            assert!((rows[0]["air_temperature"].as_f64().unwrap() - 100.0).abs() < 1e-9, "{rows}");
            return assert_eq!(rows[0]["day"], json!("2021-10-04"));
        }
        assert!(since.elapsed() < PATIENCE, "{}", spoken(&app));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
