//! The days of each region in memory, read from the lake when first asked for and again when the region's stamp moves.
//!
//! ```text
//! (table, region, stamp) ─▶ kept and of that stamp? ─▶ Days
//!                         ├▶ kept, of an older one  ─▶ the days of files that came or went ─▶ Days, kept
//!                         └▶ all days of the region at the pinned version ─▶ Days, kept
//! ```
//! Bounded by bytes; the least used regions are read anew. A moment of the past is read without being kept.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use catalog::Table;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use identity::{RegionId, TableId, TableName};
use lake::Snapshot;

use super::measures::Days;
use super::pieces::{Piece, Pieces, changed};
use super::reader::Reader;
use super::tables::{Footing, MARKET_DAILY, WEATHER_DAILY};
use crate::QueryError;

type Key = (TableId, RegionId);

/// About what a day takes in memory.
const ROW_BYTES: u64 = 64;
/// A file's share of the memory of a region that refers to it.
const PIECE_BYTES: usize = 64;

/// The newest hour of a region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LatestHour {
    pub time: DateTime<Utc>,
    pub air_temperature: Option<f64>,
}

/// One region's days, the stamp they were read for, and the files they came from.
#[derive(Clone)]
struct Held {
    stamp: i64,
    days: Arc<Days>,
    pieces: Arc<[Piece]>,
}

/// Days and newest hours by region, each with the stamp it was read for.
#[derive(Clone)]
pub(super) struct Store {
    pub reader: Reader,
    bytes: u64,
    days: moka::sync::Cache<Key, Held>,
    hours: moka::sync::Cache<Key, (i64, Option<LatestHour>)>,
}

impl Store {
    pub fn new(reader: Reader, bytes: u64) -> Self {
        let weigh = |_: &Key, held: &Held| {
            u32::try_from(held.days.bytes() + held.pieces.len() * PIECE_BYTES).unwrap_or(u32::MAX)
        };
        Self {
            reader,
            bytes,
            days: moka::sync::Cache::builder().max_capacity(bytes).weigher(weigh).build(),
            hours: moka::sync::Cache::new(20_000),
        }
    }

    /// The region's days in a daily table; `None` where none was ever committed. `keep` is false for a moment of the past.
    pub async fn days(
        &self,
        footing: &Footing,
        region: &RegionId,
        keep: bool,
    ) -> Result<Option<Arc<Days>>, QueryError> {
        let (Some((table, version)), Some(stamp)) = (footing.pinned(), footing.stamp) else {
            return Ok(None);
        };
        let key = (table.id, region.clone());
        let held = self.days.get(&key).filter(|held| keep && held.stamp <= stamp.version);
        if let Some(held) = held.as_ref().filter(|held| held.stamp == stamp.version) {
            return Ok(Some(Arc::clone(&held.days)));
        }
        let snapshot = self.reader.snapshot(table, version).await?;
        let pieces: Arc<[Piece]> = Pieces::of(&snapshot).of_region(region).into();
        let since = held.and_then(|held| Some((changed(&held.pieces, &pieces)?, held.days)));
        let read = |days: Option<RangeInclusive<i32>>| {
            self.read(table, Arc::clone(&snapshot), statement(footing.name), region, days)
        };
        let days = match since {
            Some((range, days)) if range.is_empty() => Some(days),
            Some((range, days)) => {
                let new = read(Some(range.clone())).await?;
                Some(Arc::new(days.spliced(range, new.as_deref())?))
            }
            None => read(None).await?,
        };
        if let Some(days) = days.as_ref().filter(|_| keep) {
            self.keep(key, Held { stamp: stamp.version, days: Arc::clone(days), pieces });
        }
        Ok(days)
    }

    /// The region's days, all or those of a range; `None` where there are none.
    async fn read(
        &self,
        table: &Table,
        snapshot: Arc<Snapshot>,
        sql: &'static str,
        region: &RegionId,
        days: Option<RangeInclusive<i32>>,
    ) -> Result<Option<Arc<Days>>, QueryError> {
        let (first, last) = days.map(RangeInclusive::into_inner).unzip();
        let params = vec![
            ScalarValue::Utf8(Some(region.to_string())),
            ScalarValue::Date32(first),
            ScalarValue::Date32(last),
        ];
        let batches = self.reader.rows(table, snapshot, "days", sql, params).await?;
        let Some(first) = batches.first() else {
            return Ok(None);
        };
        let rows = concat_batches(&first.schema(), &batches).map_err(QueryError::engine)?;
        Ok(Some(Arc::new(Days::new(&rows)?)))
    }

    fn keep(&self, key: Key, held: Held) {
        // A reader that held an older moment must not put back what a newer one has replaced.
        let newer = self.days.get(&key).is_some_and(|kept| kept.stamp > held.stamp);
        if !newer {
            self.days.insert(key, held);
        }
    }

    /// Reads all regions of a daily table in one go, unless they would not fit. `stamp_of` gives the stamp each region's days are kept
    /// under. Shape: number of regions read.
    pub async fn warm(
        &self,
        footing: &Footing,
        stamp_of: impl Fn(&RegionId) -> Option<i64>,
    ) -> Result<usize, QueryError> {
        let Some((table, version)) = footing.pinned() else {
            return Ok(0);
        };
        let snapshot = self.reader.snapshot(table, version).await?;
        if snapshot.rows() * ROW_BYTES > self.bytes / 2 {
            return Ok(0);
        }
        let all = vec![ScalarValue::Utf8(None), ScalarValue::Date32(None), ScalarValue::Date32(None)];
        let (sql, pieces) = (statement(footing.name), Pieces::of(&snapshot));
        let mut batches = self.reader.stream(table, snapshot, "days", sql, all).await?;
        let (mut open, mut regions): (Option<(RegionId, Vec<RecordBatch>)>, usize) = (None, 0);
        let keep = |region: RegionId, parts: &[RecordBatch]| {
            self.keep_parts((table.id, &pieces), region, parts, &stamp_of)
        };
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(QueryError::lake)?;
            for (region, start, length) in runs(&batch)? {
                let part = batch.slice(start, length);
                match &mut open {
                    Some((of, parts)) if *of == region => parts.push(part),
                    _ => {
                        regions += 1;
                        if let Some((of, parts)) = open.replace((region, vec![part])) {
                            keep(of, &parts)?;
                        }
                    }
                }
            }
        }
        if let Some((of, parts)) = open {
            keep(of, &parts)?;
        }
        Ok(regions)
    }

    /// Keeps one region's days as a copy that does not hold on to the buffers of the whole.
    fn keep_parts(
        &self,
        (table, pieces): (TableId, &Pieces),
        region: RegionId,
        parts: &[RecordBatch],
        stamp_of: &impl Fn(&RegionId) -> Option<i64>,
    ) -> Result<(), QueryError> {
        let (Some(stamp), Some(first)) = (stamp_of(&region), parts.first()) else {
            return Ok(());
        };
        let nothing = first.slice(0, 0);
        let rows =
            concat_batches(&first.schema(), parts.iter().chain([&nothing])).map_err(QueryError::engine)?;
        let pieces = pieces.of_region(&region).into();
        self.keep((table, region), Held { stamp, days: Arc::new(Days::new(&rows)?), pieces });
        Ok(())
    }

    /// Reads the newest hour of all regions that have one in the table's last days.
    pub async fn warm_hours(
        &self,
        footing: &Footing,
        stamp_of: impl Fn(&RegionId) -> Option<i64>,
    ) -> Result<(), QueryError> {
        let Some((table, version)) = footing.pinned() else {
            return Ok(());
        };
        let snapshot = self.reader.snapshot(table, version).await?;
        let since = recent(&snapshot).unwrap_or(DateTime::UNIX_EPOCH);
        let params = vec![ScalarValue::Utf8(None), micros(since)];
        let sql = include_str!("latest_hour.sql");
        for batch in self.reader.rows(table, snapshot, "hours", sql, params).await? {
            for (region, row, _) in runs(&batch)? {
                if let Some(stamp) = stamp_of(&region) {
                    self.hours.insert((table.id, region), (stamp, newest(&batch.slice(row, 1))));
                }
            }
        }
        Ok(())
    }

    /// The region's newest hour; `None` where it has none.
    pub async fn latest_hour(
        &self,
        footing: &Footing,
        region: &RegionId,
        keep: bool,
    ) -> Result<Option<LatestHour>, QueryError> {
        let (Some((table, version)), Some(stamp)) = (footing.pinned(), footing.stamp) else {
            return Ok(None);
        };
        let key = (table.id, region.clone());
        if let Some((_, hour)) = self.hours.get(&key).filter(|(of, _)| keep && *of == stamp.version) {
            return Ok(hour);
        }
        let snapshot = self.reader.snapshot(table, version).await?;
        let mut hour = None;
        // Nearly every region has a row in the table's last days; only one that has not is searched for in all of it.
        for since in [recent(&snapshot), Some(DateTime::UNIX_EPOCH)].into_iter().flatten() {
            let params = vec![ScalarValue::Utf8(Some(region.to_string())), micros(since)];
            let batches = self
                .reader
                .rows(table, Arc::clone(&snapshot), "hours", include_str!("latest_hour.sql"), params)
                .await?;
            hour = batches.iter().find_map(newest);
            if hour.is_some() {
                break;
            }
        }
        if keep {
            self.hours.insert(key, (stamp.version, hour));
        }
        Ok(hour)
    }
}

fn statement(table: &TableName) -> &'static str {
    match table == &*WEATHER_DAILY {
        true => include_str!("weather_daily.sql"),
        false => {
            debug_assert_eq!(table, &*MARKET_DAILY);
            include_str!("market_daily.sql")
        }
    }
}

/// An instant as a bound parameter.
pub(super) fn micros(instant: DateTime<Utc>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(instant.timestamp_micros()), Some("UTC".into()))
}

/// Three days before the newest hour of the whole table, by the statistics of its files.
fn recent(snapshot: &Snapshot) -> Option<DateTime<Utc>> {
    newest_of(snapshot, "time").map(|newest| newest - TimeDelta::days(3))
}

/// The newest instant of a column, by the statistics of the files; `None` where they have none.
pub(super) fn newest_of(snapshot: &Snapshot, column: &str) -> Option<DateTime<Utc>> {
    let kind = snapshot.schema().field_with_name(column).ok()?.data_type().clone();
    let most = |file: &Arc<lake::DataFile>| match file.max(column, &kind)? {
        ScalarValue::TimestampMicrosecond(micros, _) => micros,
        _ => None,
    };
    snapshot.files().iter().filter_map(most).max().and_then(DateTime::from_timestamp_micros)
}

fn newest(batch: &RecordBatch) -> Option<LatestHour> {
    if batch.num_rows() == 0 {
        return None;
    }
    let time = cast(batch.column_by_name("time")?, &super::write::utc()).ok()?;
    let time = time.as_primitive_opt::<TimestampMicrosecondType>()?.value(0);
    let temperature = batch.column_by_name("air_temperature")?.as_primitive_opt::<Float64Type>()?;
    let air_temperature =
        temperature.is_valid(0).then(|| temperature.value(0)).filter(|degrees| degrees.is_finite());
    Some(LatestHour { time: DateTime::from_timestamp_micros(time)?, air_temperature })
}

/// The runs of equal `region_id` in rows ordered by it: region, first row, rows.
fn runs(rows: &RecordBatch) -> Result<Vec<(RegionId, usize, usize)>, QueryError> {
    let ids = rows
        .column_by_name("region_id")
        .map(|column| cast(column, &DataType::Utf8))
        .transpose()
        .map_err(QueryError::engine)?;
    let ids: StringArray = ids
        .as_ref()
        .and_then(|column: &ArrayRef| column.as_string_opt::<i32>())
        .cloned()
        .unwrap_or_else(|| StringArray::new_null(0));
    let mut runs = Vec::new();
    let mut start = 0;
    for row in 1..=ids.len() {
        if row < ids.len() && ids.value(row) == ids.value(start) {
            continue;
        }
        if let Some(region) = ids.is_valid(start).then(|| RegionId::parse(ids.value(start)).ok()).flatten() {
            runs.push((region, start, row - start));
        }
        start = row;
    }
    Ok(runs)
}
