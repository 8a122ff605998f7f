//! A large upload against DuckDB's conversion of the same file, and case 4's join of it against DuckDB on the same Parquet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde_json::Value;
use tokio_util::io::ReaderStream;

use crate::duckdb::DuckDb;
use crate::lake::Lake;
use crate::process::{Memory, Watch};
use crate::server::{Server, good};
use crate::sizes::Sizes;
use crate::table::{Figure, median, millis};
use crate::{Failure, sales};

const MB: u64 = 1_000_000;
const JOINS: usize = 3;

/// 5 and 7b.
pub async fn and_join(lake: &Lake, sizes: &Sizes) -> Result<Vec<Figure>, Failure> {
    let server = lake.serve("").await?;
    let (csv, mut duckdb) = (lake.path("sales.csv"), DuckDb::start()?);
    let last = chrono::Utc::now().date_naive();
    let rows = sales::write(&csv, sizes.upload_bytes, &server.regions().await?, last)?;
    eprintln!("{rows} rows to upload");
    let mut figures = uploads(lake, &server, &mut duckdb, (&csv, rows), sizes).await?;
    std::fs::remove_file(&csv)?;
    figures.push(join(lake, &server, &mut duckdb).await?);
    good(server.call(Method::DELETE, "/v1/datasets/sales").send().await?).await?;
    Ok(figures)
}

/// Ours and DuckDB in turns; the dataset of the last one stays.
async fn uploads(
    lake: &Lake,
    server: &Server,
    duckdb: &mut DuckDb,
    (csv, rows): (&Path, u64),
    sizes: &Sizes,
) -> Result<Vec<Figure>, Failure> {
    let (mut ours, mut theirs, mut most, mut grown) = (Vec::new(), Vec::new(), 0, 0);
    for n in 0..sizes.uploads {
        if n > 0 {
            good(server.call(Method::DELETE, "/v1/datasets/sales").send().await?).await?;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (idle, watch) = (Memory::now(server.pid()), Watch::start(server.pid()));
        ours.push(upload(server, csv, rows).await?);
        let peak = watch.most();
        (most, grown) = (most.max(peak.all), grown.max(peak.own.saturating_sub(idle.own)));
        let parquet = lake.path("sales.parquet");
        theirs.push(duckdb.convert(csv, &parquet)?);
        std::fs::remove_file(parquet)?;
    }
    let (what, peer) =
        (format!("upload of a CSV of {} MB to queryable", sizes.upload_bytes / MB), "DuckDB `COPY`");
    Ok(vec![
        Figure::times(&what, median(ours), (peer, median(theirs)), 2.0),
        Figure::bytes("peak memory of gateway and workers during it (Pss)", most, 600 * MB),
        Figure::bytes("peak of the gateway alone over idle (Rss)", grown, 32 * MB),
    ])
}

/// Milliseconds from the first byte to a dataset that has all its rows.
async fn upload(server: &Server, csv: &Path, rows: u64) -> Result<f64, Failure> {
    let file = tokio::fs::File::open(csv).await?;
    let bytes = file.metadata().await?.len();
    let body = Body::wrap_stream(ReaderStream::with_capacity(file, 1 << 20));
    let part = Part::stream_with_length(body, bytes).file_name("sales.csv");
    let form = Form::new().text("name", "sales").part("file", part);
    let started = Instant::now();
    let answer = good(server.call(Method::POST, "/v1/datasets").multipart(form).send().await?).await?;
    let dataset: Value = server.to_the_end(answer).await?.json().await?;
    let took = millis(started.elapsed());
    match dataset["data"]["rows"].as_u64() {
        Some(found) if found == rows => Ok(took),
        found => Err(format!("{rows} rows were uploaded, {found:?} are there").into()),
    }
}

/// Monthly sums of the upload with everything the lake has for its regions and days. `RUN` makes each another statement.
const JOIN: &str = "WITH profile AS (\
      SELECT b.region_id, b.households, b.income_index FROM source_b.profile b \
      JOIN (SELECT region_id, max(valid_from) AS valid_from FROM source_b.profile GROUP BY region_id) newest \
      ON newest.region_id = b.region_id AND newest.valid_from = b.valid_from) \
    SELECT date_trunc('month', s.day) AS month, count(*) AS rows, sum(s.sold) AS sold, \
      sum(s.sold * CAST(s.price AS DOUBLE) * (1 - CAST(s.discount AS DOUBLE))) AS revenue, \
      avg(w.air_temperature_mean) AS temperature, sum(w.precipitation_sum) AS precipitation, \
      avg(m.price_mean) AS price, sum(a.visits) AS visits, avg(p.income_index) AS income, RUN AS run \
    FROM my.sales s \
    JOIN weather.daily w ON w.region_id = s.region_id AND w.day = s.day \
    JOIN market.daily m ON m.region_id = s.region_id AND m.day = s.day \
    JOIN source_a.activity a ON a.region_id = s.region_id AND a.day = s.day \
    JOIN profile p ON p.region_id = s.region_id \
    GROUP BY 1 ORDER BY 1";

/// 7b: the join in turns, DuckDB on the same Parquet files.
async fn join(lake: &Lake, server: &Server, duckdb: &mut DuckDb) -> Result<Figure, Failure> {
    duckdb.tables(&tables(lake)?)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..JOINS {
        let sql = JOIN.replace("RUN", &run.to_string());
        let started = Instant::now();
        let found = server.sql(&sql).await?;
        ours.push(millis(started.elapsed()));
        let (time, expected) = duckdb.time(&[&sql], &[])?;
        theirs.push(time);
        agree(&found, &expected)?;
    }
    let what = "SQL join of the upload with A, B, weather and market, monthly sums";
    Ok(Figure::times(what, median(ours), ("DuckDB", median(theirs)), 2.0))
}

fn tables(lake: &Lake) -> Result<BTreeMap<&'static str, PathBuf>, Failure> {
    let sales = lake.newest_table().ok_or("the upload has no folder")?;
    Ok(BTreeMap::from([
        ("my.sales", sales),
        ("weather.daily", lake.table("aggregated", "weather", "daily")),
        ("market.daily", lake.table("aggregated", "market", "daily")),
        ("source_a.activity", lake.table("curated", "source_a", "activity")),
        ("source_b.profile", lake.table("curated", "source_b", "profile")),
    ]))
}

/// Both have the same months and the same sums, up to the order in which they added.
fn agree(ours: &Value, theirs: &Value) -> Result<(), Failure> {
    let months = |rows: &Value| rows.as_array().map_or(0, Vec::len);
    let sum = |rows: &Value, column: &str| -> f64 {
        let number = |row: &Value| row[column].as_f64().or_else(|| row[column].as_str()?.parse().ok());
        rows.as_array().into_iter().flatten().filter_map(number).sum()
    };
    let same = |column: &str| (sum(ours, column) / sum(theirs, column) - 1.0).abs() < 1e-6;
    if months(ours) > 0
        && months(ours) == months(theirs)
        && ["rows", "sold", "revenue", "visits", "price"].iter().all(|c| same(c))
    {
        return Ok(());
    }
    Err(format!("the join gives {} and in DuckDB {}", ours[0], theirs[0]).into())
}
