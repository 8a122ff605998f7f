//! Years of hours: landed from an archive, the model of days over them against DuckDB, and a single day anew.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use chrono::{DateTime, Days, Months, NaiveDate, Utc};
use harness::ArchiveStub;
use serde_json::Value;

use crate::Failure;
use crate::duckdb::DuckDb;
use crate::lake::Lake;
use crate::process::Watch;
use crate::server::{Server, good};
use crate::sizes::Sizes;
use crate::table::{Figure, Goal};

const MODEL: &str = "weather.daily";
const MEMORY: u64 = 600_000_000;

/// 10: all on one lake, made by `demo` with a single year of days.
pub async fn of_hours(sizes: &Sizes) -> Result<Vec<Figure>, Failure> {
    let (stub, lake) = (ArchiveStub::start()?, Lake::loaded(sizes.regions, 1).await?);
    let server = lake.serve_asking(&stub.url).await?;
    let last = Utc::now().date_naive() - Days::new(2);
    let first = last - Months::new(12 * sizes.history_years);
    let mut figures = backfill(&lake, &server, &stub, (first, last)).await?;
    figures.extend(model(&lake, &server).await?);
    figures.push(one_day(&lake, &server, first + Months::new(6)).await?);
    server.stop().await?;
    Ok(figures)
}

/// Hours a second from the archive to the committed table, and all models behind it.
async fn backfill(
    lake: &Lake,
    server: &Server,
    stub: &ArchiveStub,
    (first, last): (NaiveDate, NaiveDate),
) -> Result<Vec<Figure>, Failure> {
    let watch = Watch::start(server.pid());
    let seconds = days(lake, server, (first, last)).await?;
    let memory = watch.most().all;
    let rows = hours(server).await?;
    let theirs = bare(server, stub, (first, last)).await?;
    let rate = rows as f64 / seconds;
    let name = format!("backfill of {rows} hours from an archive on loopback, with every model behind it");
    let speed = Figure {
        what: format!("{name}, rows/s"),
        ours: format!("{rate:.0}/s in {seconds:.1} s"),
        peer: format!("bare client that throws the answers away {:.0}/s", rows as f64 / theirs),
        ratio: theirs / seconds,
        goal: Goal::Told,
    };
    Ok(vec![speed, Figure::bytes("peak memory of gateway and workers during it (Pss)", memory, MEMORY)])
}

/// Seconds in which somebody who keeps nothing has the same answers of hours.
async fn bare(
    server: &Server,
    stub: &ArchiveStub,
    (first, last): (NaiveDate, NaiveDate),
) -> Result<f64, Failure> {
    let points = server.sql("SELECT lat, lon FROM geo.regions WHERE status = 'active'").await?;
    let list = |axis: &str| {
        let numbers = points.as_array().into_iter().flatten().map(|point| point[axis].to_string());
        numbers.collect::<Vec<_>>().join(",")
    };
    let places = format!("latitude={}&longitude={}", list("lat"), list("lon"));
    let (began, mut from) = (Instant::now(), first);
    while from <= last {
        let to = (from + Months::new(1) - Days::new(1)).min(last);
        let url = format!("{}/v1/archive?{places}&hourly=all&start_date={from}&end_date={to}", stub.url);
        good(server.http.get(url).send().await?).await?.bytes().await?;
        from = to + Days::new(1);
    }
    Ok(began.elapsed().as_secs_f64())
}

async fn hours(server: &Server) -> Result<i64, Failure> {
    let rows = server.sql("SELECT count(*) AS n FROM weather.hourly").await?;
    rows[0]["n"].as_i64().ok_or_else(|| "a count is a number".into())
}

/// The model computed anew over every hour, and the same statement in DuckDB over the same files.
async fn model(lake: &Lake, server: &Server) -> Result<Vec<Figure>, Failure> {
    let ours = verb(lake, server, &["run", MODEL]).await?;
    let rows = hours(server).await?;
    let computed = server.sql(&format!("SELECT count(*) AS n FROM {MODEL}")).await?;
    let mut duckdb = DuckDb::start()?;
    let table = |area: &str, schema: &str, name: &str| lake.table(area, schema, name);
    duckdb.tables(&BTreeMap::from([
        ("weather.hourly", table("curated", "weather", "hourly")),
        ("weather.archive", table("curated", "weather", "archive")),
        ("geo.regions", table("operational", "geo", "regions")),
    ]))?;
    duckdb.time(&["CREATE MACRO local_day(t, zone) AS CAST(timezone(zone, t) AS DATE)"], &[])?;
    let sql = lake.model("aggregated", MODEL)?.replace("LEFT ANTI JOIN", "ANTI JOIN");
    let file = lake.path("peer.parquet");
    let copy = format!(
        "COPY (SELECT * FROM ({sql}) ORDER BY region_id, day) TO '{}' (FORMAT parquet, COMPRESSION zstd)",
        file.display()
    );
    let mut figures = Vec::new();
    for (threads, words) in [("1", "one thread, as ours"), ("2", "two threads")] {
        let (theirs, counted) = duckdb.time(&[&format!("SET threads TO {threads}"), &copy], &[])?;
        if counted[0]["Count"] != computed[0]["n"] {
            return Err(format!("DuckDB has {counted}, ours are {computed}").into());
        }
        let what = format!("model {MODEL} over {rows} hours: computed, tested, published");
        let peer = format!("DuckDB {}, same SQL and files, {words}", duckdb.version);
        figures.push(Figure::times(&what, ours * 1000.0, (&peer, theirs), 1.0));
    }
    Ok(figures)
}

/// A day asked for again: its hours and days replaced, and what rests on them, against every model from the beginning.
async fn one_day(lake: &Lake, server: &Server, day: NaiveDate) -> Result<Figure, Failure> {
    let text = day.to_string();
    let ours = verb(lake, server, &["backfill", "c", "--from", &text, "--to", &text, "--again"]).await?;
    let theirs = verb(lake, server, &["rebuild"]).await?;
    let what = "a single day of all regions: asked for, landed, every model behind it";
    Ok(Figure::times(what, ours * 1000.0, ("rebuild of every model", theirs * 1000.0), 1.0))
}

async fn days(lake: &Lake, server: &Server, (first, last): (NaiveDate, NaiveDate)) -> Result<f64, Failure> {
    verb(lake, server, &["backfill", "c", "--from", &first.to_string(), "--to", &last.to_string()]).await
}

/// Runs a verb beside the server, which does its work: seconds of the job.
async fn verb(lake: &Lake, server: &Server, words: &[&str]) -> Result<f64, Failure> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakefront"));
    command.args(words).arg("--config").arg(lake.settings_file()).stdin(Stdio::null());
    let done = tokio::task::spawn_blocking(move || command.output()).await??;
    if !done.status.success() {
        return Err(format!("{words:?}: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    let jobs = server.http.get(server.url("/v1/jobs?limit=1")).bearer_auth(&server.admin_key).send().await?;
    let jobs: Value = good(jobs).await?.json().await?;
    let at = |key: &str| jobs["data"][0][key].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    let took = at("ended_at").zip(at("created_at")).ok_or("a job has its times")?;
    let seconds = (took.0 - took.1).as_seconds_f64();
    eprintln!("{}: {seconds:.2} s", words.join(" "));
    Ok(seconds)
}
