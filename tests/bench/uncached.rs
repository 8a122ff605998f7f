//! Uncached answers against DuckDB: the same Parquet files, the same question.

use std::time::{Duration, Instant};

use harness::Python;
use serde_json::{Value, json};

use crate::demo::Demo;
use crate::{Failure, Figure};

/// Times a query over the live files of a Delta table: median milliseconds over the regions given.
const DUCKDB: &str = r#"
import json, statistics, sys, time
import duckdb
from deltalake import DeltaTable
ask = json.loads(sys.argv[1])
con = duckdb.connect()
con.execute("SET threads TO 2")
files = {name: DeltaTable(path).file_uris() for name, path in ask["tables"].items()}
for name, uris in files.items():
    con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({[u.removeprefix('file://') for u in uris]})")
times = []
for region in ask["regions"]:
    start = time.perf_counter()
    for sql in ask["sql"]:
        con.execute(sql, [region]).fetchall()
    times.append((time.perf_counter() - start) * 1000)
print(json.dumps(statistics.median(times)))
"#;

const SUMMARY: &str = "WITH last AS (SELECT max(day) AS day FROM weather WHERE region_id = $1) \
    SELECT avg(air_temperature_mean), min(air_temperature_min), max(air_temperature_max), sum(precipitation_sum), \
    sum(hours), count(*) FROM weather, last WHERE region_id = $1 AND weather.day > last.day - 7";
const MARKET: &str = "WITH last AS (SELECT max(day) AS day FROM market WHERE region_id = $1) \
    SELECT avg(price_mean), avg(interest_mean), sum(events), count(*) FROM market, last \
    WHERE region_id = $1 AND market.day > last.day - 7";
const SERIES: &str = "SELECT * EXCLUDE region_id FROM weather WHERE region_id = $1 ORDER BY day";

/// 3 and 4: a summary and a 15-year series, each time of another region, nothing cached.
pub async fn against_duckdb(demo: &Demo) -> Result<Vec<Figure>, Failure> {
    let regions = demo.regions().await?;
    let summary = |region: &str| format!("/v1/regions/{region}/summary?window=7d");
    let series =
        |region: &str| format!("/v1/regions/{region}/weather?grain=day&from=2000-01-01&to=2100-01-01");
    let ours_summary = median(demo, regions.iter().map(|r| summary(r)).collect()).await?;
    let ours_series = median(demo, regions.iter().map(|r| series(r)).collect()).await?;
    let theirs = |sql: Value| duckdb(demo, &regions, sql);
    let (peer_summary, peer_series) = (theirs(json!([SUMMARY, MARKET]))?, theirs(json!([SERIES]))?);
    let figure = |what: &str, ours: f64, peer: f64, goal: &str| Figure {
        what: what.into(),
        ours: format!("{ours:.2} ms"),
        peer: format!("{peer:.2} ms"),
        ratio: ours / peer,
        goal: goal.into(),
    };
    Ok(vec![
        figure("uncached summary against DuckDB", ours_summary, peer_summary, "at most 0.5"),
        figure(
            "uncached 15-year daily series as JSON against DuckDB's query",
            ours_series,
            peer_series,
            "at most 1.0",
        ),
    ])
}

fn duckdb(demo: &Demo, regions: &[String], sql: Value) -> Result<f64, Failure> {
    let python = Python::with(&["duckdb", "deltalake", "pyarrow"]).ok_or("no Python with duckdb")?;
    let table =
        |name: &str| demo.folder.join("lake/aggregated").join(name).join("daily").display().to_string();
    let tables = json!({"weather": table("weather"), "market": table("market")});
    let ask = json!({"tables": tables, "regions": regions, "sql": sql}).to_string();
    let output = python.run(DUCKDB, &[&ask])?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Median milliseconds of these calls, one after the other.
async fn median(demo: &Demo, paths: Vec<String>) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for path in paths {
        let started = Instant::now();
        demo.get(&path).await?.bytes().await?;
        times.push(started.elapsed());
    }
    Ok(middle(times).as_secs_f64() * 1000.0)
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// 7: `select 1` end to end; every statement another, so that no answer comes from the cache.
pub async fn select_one(demo: &Demo) -> Result<Vec<Figure>, Failure> {
    let mut times = Vec::new();
    for n in 0..50 {
        let started = Instant::now();
        let body = json!({"sql": format!("SELECT 1 AS n{n}")});
        let asked = demo.http.post(demo.url("/v1/sql")).bearer_auth(&demo.key).json(&body).send().await?;
        asked.error_for_status()?.bytes().await?;
        times.push(started.elapsed());
    }
    let ours = middle(times).as_secs_f64() * 1000.0;
    Ok(vec![Figure {
        what: "`SELECT 1` through a worker".into(),
        ours: format!("{ours:.2} ms"),
        peer: "limit 10 ms".into(),
        ratio: ours / 10.0,
        goal: "at most 1.0".into(),
    }])
}
