//! Everything after the raw area can be thrown away and made again, equal in every column.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::TimeDelta;

use super::arrivals_tests::{REGIONS, event, ten_degrees};
use super::testing::{TestLake, at, lake};
use super::weather::Grain;
use crate::publish::{Mode, Rows, Write};

/// Tables of each source, and of models.
const SOME: [&str; 10] = [
    "source_a.activity",
    "source_b.profile",
    "weather.hourly",
    "weather.archive",
    "weather.forecast",
    "market.events",
    "market.history",
    "geo.regions",
    "weather.daily",
    "market.daily",
];

async fn all(lake: &TestLake) -> BTreeMap<String, RecordBatch> {
    let mut tables = BTreeMap::new();
    for table in &lake.lakefile.tables {
        tables.insert(table.name.to_string(), lake.rows(&table.name.to_string()).await);
    }
    tables
}

/// A lake in which every source has landed something, some of it twice and in another order than it happened.
async fn filled() -> TestLake {
    let lake = lake(REGIONS, Arc::new(ten_degrees)).await;
    let now = at("2026-03-10T12:30:00Z");
    lake.arrivals.catch_up(now).await.unwrap();
    let drop = |source: &str, file: &str, text: &str| {
        std::fs::write(lake.folder.path().join("sources/inbox").join(source).join(file), text).unwrap();
    };
    drop("a", "20260310.csv", "region_id,activity_index,visits\nit-lombardia,101.5,12\n");
    lake.arrivals.run_once("a", now).await.unwrap();
    // The same day again, corrected.
    drop("a", "20260310-v2.csv", "region_id,activity_index,visits\nit-lombardia,99.5,13\n");
    lake.arrivals.run_once("a", now + TimeDelta::minutes(5)).await.unwrap();
    drop(
        "b",
        "20260301.csv",
        "region_id,valid_from,households,income_index\nit-lombardia,2026-03-01,7,101\n",
    );
    lake.arrivals.run_once("b", now).await.unwrap();
    let header = "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events";
    drop("market_history", "2026.csv", &format!("{header}\nit-lombardia,2026-03-01,1,2,1,2,1.5,40,7\n"));
    lake.arrivals.run_once("market_history", now).await.unwrap();
    for (n, day) in
        ["2026-03-09T23:30:00Z", "2026-03-10T11:00:00Z", "2026-03-05T10:00:00Z"].iter().enumerate()
    {
        let line = event(&format!("e{n}"), day, "it-lombardia", 100.0 + n as f64, "");
        let later = now + TimeDelta::seconds(n as i64);
        lake.arrivals.push("d", line.as_bytes(), later).await.unwrap();
        lake.arrivals.run_once("d", later).await.unwrap();
    }
    let molise = event("m", "2026-03-10T11:00:00Z", "it-molise", 2.0, "");
    lake.arrivals.push("d", molise.as_bytes(), now).await.unwrap();
    lake.arrivals.run_once("d", now).await.unwrap();
    let range = ("2026-02-20".parse().unwrap(), "2026-03-09".parse().unwrap());
    lake.arrivals.backfill("c", range, &[Grain::Hour, Grain::Day], &(), now).await.unwrap();
    lake.arrivals.run_once("c", now + TimeDelta::minutes(1)).await.unwrap();
    lake.arrivals.run_once("c", now + TimeDelta::hours(2)).await.unwrap();
    lake
}

#[tokio::test]
async fn a_lake_made_again_from_its_raw_area_is_the_same() {
    let lake = filled().await;
    let before = all(&lake).await;
    for table in SOME {
        assert!(before[table].num_rows() > 0, "{table} has rows");
    }
    // An event that is in the log and not yet in its table stays out, and lands once afterwards.
    let now = at("2026-03-10T15:00:00Z");
    let line = event("behind", "2026-03-10T14:00:00Z", "it-lombardia", 5.0, "");
    lake.arrivals.push("d", line.as_bytes(), now).await.unwrap();
    // A table is damaged.
    let table = lake.catalog.moment().table(&"source_a.activity".parse().unwrap()).unwrap();
    let schema = lake.lakefile.table(&table.name).unwrap().schema();
    let nothing = Write::new(Rows::Batches(schema, Vec::new()), Mode::Overwrite, now);
    lake.arrivals.0.publisher.write(&table, nothing).await.unwrap();
    assert_eq!(lake.rows("source_a.activity").await.num_rows(), 0);
    let rebuilt = lake.arrivals.rebuild_from_raw(&(), now).await.unwrap();
    assert_eq!(rebuilt.len(), before.len());
    for (table, rows) in all(&lake).await {
        assert!(rows == before[&table], "{table} has other rows than before");
    }
    lake.arrivals.run_once("d", now).await.unwrap();
    assert_eq!(lake.rows("market.events").await.num_rows(), before["market.events"].num_rows() + 1);
}
