//! Which event ids are in the table: what makes an event of a topic count once.
//!
//! A topic may hold an event several times: its producer tried again, somebody sent it twice, an offset was read again. The
//! truth is the table itself. A set of digests of its newest ids is read from it when a stream begins, and grows with
//! every batch that landed; days older than `remember` are forgotten. 16 bytes an id and about as much again for the set:
//! a million events take 30 MB.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type};
use catalog::Catalog;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt as _;
use identity::TableName;
use lake::{Lake, Location};
use sha2::{Digest, Sha256};

use crate::sources::SourceError;

/// A digest of an id: two ids never share one by chance, and nobody can make two that do.
pub type IdDigest = u128;

/// The digest of an id.
pub fn digest(id: &str) -> IdDigest {
    let hash = Sha256::digest(id.as_bytes());
    hash.iter().take(16).fold(0, |digest, byte| digest << 8 | IdDigest::from(*byte))
}

/// The ids of the last days, by the day on which they came.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<NaiveDate, HashSet<IdDigest>>);

impl Seen {
    /// Whether this id has come.
    pub fn has(&self, id: IdDigest) -> bool {
        self.0.values().any(|day| day.contains(&id))
    }

    /// Ids that came on a day.
    pub fn add(&mut self, day: NaiveDate, ids: impl IntoIterator<Item = IdDigest>) {
        self.0.entry(day).or_default().extend(ids);
    }

    /// Forgets what came before a day.
    pub fn forget(&mut self, before: NaiveDate) {
        self.0.retain(|day, _| *day >= before);
    }
}

/// Where the ids are read from.
pub struct Ids {
    pub lake: Lake,
    pub catalog: Catalog,
    pub table: TableName,
}

impl Ids {
    /// The ids that came within `remembered` before `now`, from the newest version in the table's log.
    /// - Errors: [`SourceError::Raw`] when the lake cannot be read.
    pub async fn read(&self, remembered: TimeDelta, now: DateTime<Utc>) -> Result<Seen, SourceError> {
        let mut seen = Seen::default();
        let Some(table) = self.catalog.moment().table(&self.table) else { return Ok(seen) };
        let wrong = |_| SourceError::refused(format!("`{}` is no place in the lake", table.location));
        let location = Location::from_str(&table.location).map_err(wrong)?;
        let Some(version) = self.lake.latest(&location).await? else { return Ok(seen) };
        let snapshot = self.lake.snapshot(&location, version).await?;
        let provider = self.lake.provider(snapshot, &table.sort)?;
        let since = (now - remembered).timestamp_micros();
        let since = lit(ScalarValue::TimestampMicrosecond(Some(since), Some("UTC".into())));
        let read = async {
            let rows = SessionContext::new().read_table(provider)?.filter(col("ingested_at").gt_eq(since))?;
            let mut rows = rows.select_columns(&["event_id", "ingested_at"])?.execute_stream().await?;
            while let Some(batch) = rows.try_next().await? {
                take(&mut seen, &batch)?;
            }
            Ok::<_, DataFusionError>(())
        };
        read.await.map_err(lake::Error::from)?;
        Ok(seen)
    }
}

fn take(seen: &mut Seen, batch: &RecordBatch) -> Result<(), DataFusionError> {
    let (ids, days) = (cast(batch.column(0), &DataType::Utf8)?, cast(batch.column(1), &DataType::Date32)?);
    let (ids, days) = (ids.as_string::<i32>(), days.as_primitive::<Date32Type>());
    for row in (0..batch.num_rows()).filter(|row| days.is_valid(*row)) {
        if let Some(day) = days.value_as_date(row) {
            seen.add(day, [digest(ids.value(row))]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::{at, quiet_lake};

    const REGIONS: &str =
        "region_id,name,country,lon,lat,population\nit-lombardia,Lombardia,IT,9.93,45.57,9976509\n";

    #[tokio::test]
    async fn the_ids_of_the_last_days_are_read_from_the_table() {
        let lake = quiet_lake(REGIONS).await;
        for (day, id) in [(1, "old"), (9, "new")] {
            let now = at(&format!("2026-03-{day:02}T12:00:00Z"));
            let event = format!(
                r#"{{"event_id":"{id}","event_time":"2026-03-01T11:00:00Z","region_id":"it-lombardia"}}"#
            );
            lake.arrivals.push("d", event.as_bytes(), now).await.unwrap();
            lake.arrivals.run_once("d", now).await.unwrap();
        }
        let table = "market.events".parse().unwrap();
        let ids = Ids { lake: lake.lake.clone(), catalog: lake.catalog.clone(), table };
        let now = at("2026-03-10T12:00:00Z");
        let seen = ids.read(TimeDelta::days(8), now).await.unwrap();
        assert_eq!([seen.has(digest("old")), seen.has(digest("new"))], [false, true]);
        let all = ids.read(TimeDelta::days(30), now).await.unwrap();
        assert_eq!([all.has(digest("old")), all.has(digest("none"))], [true, false]);
    }

    #[test]
    fn a_day_is_forgotten_as_a_whole() {
        let day = |d| NaiveDate::from_ymd_opt(2026, 3, d).unwrap();
        let mut seen = Seen::default();
        seen.add(day(1), [1, 2]);
        seen.add(day(2), [3]);
        seen.forget(day(2));
        assert_eq!([1, 3].map(|id| seen.has(id)), [false, true]);
    }
}
