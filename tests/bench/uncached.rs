//! Uncached answers against DuckDB: the same Parquet files, the same question.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::Failure;
use crate::duckdb::DuckDb;
use crate::lake::Lake;
use crate::server::Server;
use crate::table::{Figure, median, millis};

const WEATHER: &str = "WITH last AS (SELECT max(day) AS day FROM weather.daily WHERE region_id = $1) \
    SELECT avg(air_temperature_mean), min(air_temperature_min), max(air_temperature_max), sum(precipitation_sum), \
    avg(wind_speed_mean), avg(relative_humidity_mean), sum(hours), count(*) FROM weather.daily d, last \
    WHERE region_id = $1 AND d.day > last.day - 7";
const MARKET: &str = "WITH last AS (SELECT max(day) AS day FROM market.daily WHERE region_id = $1) \
    SELECT avg(price_mean), avg(interest_mean), sum(events), count(*) FROM market.daily d, last \
    WHERE region_id = $1 AND d.day > last.day - 7";
const SERIES: &str = "SELECT * EXCLUDE region_id FROM weather.daily WHERE region_id = $1 ORDER BY day";

/// No result is kept; the region's days are in memory, as they are when the server is ready.
const NO_RESULTS: &str = "[cache]\nenabled = false\n";
/// Nothing is kept: every answer reads Parquet files.
const NOTHING: &str = "[cache]\nenabled = false\nseries_bytes = 0\n";

/// 3 and 4: a summary and a 15-year series, each time of another region, nothing cached.
pub async fn against_duckdb(lake: &Lake) -> Result<Vec<Figure>, Failure> {
    let mut duckdb = DuckDb::start()?;
    let table = |schema: &str| lake.table("aggregated", schema, "daily");
    let tables = [("weather.daily", table("weather")), ("market.daily", table("market"))];
    duckdb.tables(&BTreeMap::from(tables))?;
    let mut figures = Vec::new();
    for (settings, memory) in [(NO_RESULTS, "days in memory"), (NOTHING, "nothing in memory")] {
        let server = lake.serve(settings).await?;
        let summary = |region: &str| format!("/v1/regions/{region}/summary?window=7d");
        let times = in_turns(&server, &mut duckdb, summary, &[WEATHER, MARKET]).await?;
        figures.push(figure(&format!("uncached summary, {memory}"), times, &duckdb, 0.5));
        let series =
            |region: &str| format!("/v1/regions/{region}/weather?grain=day&from=2000-01-01&to=2100-01-01");
        let times = in_turns(&server, &mut duckdb, series, &[SERIES]).await?;
        figures.push(figure(
            &format!("uncached 15-year daily series as JSON, {memory}"),
            times,
            &duckdb,
            1.0,
        ));
    }
    Ok(figures)
}

fn figure(what: &str, (ours, theirs): (f64, f64), duckdb: &DuckDb, goal: f64) -> Figure {
    Figure::times(what, ours, (&format!("DuckDB {}", duckdb.version), theirs), goal)
}

/// Median milliseconds of both over all regions, one after the other.
async fn in_turns(
    server: &Server,
    duckdb: &mut DuckDb,
    path: impl Fn(&str) -> String,
    sql: &[&str],
) -> Result<(f64, f64), Failure> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for region in server.regions().await? {
        let started = Instant::now();
        server.get(&path(&region)).await?.bytes().await?;
        ours.push(millis(started.elapsed()));
        theirs.push(duckdb.time(sql, &[&region])?.0);
    }
    Ok((median(ours), median(theirs)))
}

/// 7a: `select 1` end to end; every statement another, so that no answer comes from the cache.
pub async fn select_one(lake: &Lake) -> Result<Vec<Figure>, Failure> {
    let server = lake.serve("").await?;
    let mut times = Vec::new();
    for n in 0..100 {
        let started = Instant::now();
        server.sql(&format!("SELECT 1 AS n{n}")).await?;
        times.push(millis(started.elapsed()));
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    let mut figure = Figure::times("`SELECT 1` through a worker", median(times), ("limit", 10.0), 1.0);
    figure.ours += &format!(" (slowest {slowest:.1} ms)");
    Ok(vec![figure])
}
