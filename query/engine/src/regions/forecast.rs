//! The newest forecast of a region. Every issue is kept, so a forecast as of an earlier moment is the newest that had been issued then.

use arrow::array::AsArray;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::scalar::ScalarValue;
use identity::RegionId;

use super::reader::Reader;
use super::store::{micros, newest_of};
use super::tables::Footing;
use super::write::utc;
use crate::QueryError;

/// Rows `valid_at` and the measures of hourly weather, and when they were issued; `None` where there is no forecast.
pub(super) async fn newest(
    reader: &Reader,
    footing: &Footing,
    region: &RegionId,
    as_of: Option<DateTime<Utc>>,
) -> Result<Option<(DateTime<Utc>, RecordBatch)>, QueryError> {
    let Some((table, version)) = footing.pinned() else {
        return Ok(None);
    };
    let snapshot = reader.snapshot(table, version).await?;
    let until = as_of.unwrap_or(DateTime::<Utc>::MAX_UTC).min(FAR);
    let recent = newest_of(&snapshot, "issued_at").map(|newest| newest.min(until) - TimeDelta::hours(6));
    // Issues follow each other by minutes or hours; only a region left behind is searched for in all of them.
    for since in [recent, Some(DateTime::UNIX_EPOCH)].into_iter().flatten() {
        let params = vec![ScalarValue::Utf8(Some(region.to_string())), micros(since), micros(until)];
        let batches =
            reader.rows(table, snapshot.clone(), "issues", include_str!("forecast.sql"), params).await?;
        if let Some(found) = issue(&batches)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Later than any forecast, and within what a timestamp column holds.
const FAR: DateTime<Utc> = match DateTime::from_timestamp(7_258_118_400, 0) {
    Some(instant) => instant,
    None => DateTime::UNIX_EPOCH,
};

fn issue(batches: &[RecordBatch]) -> Result<Option<(DateTime<Utc>, RecordBatch)>, QueryError> {
    let Some(first) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Ok(None);
    };
    let rows = concat_batches(&first.schema(), batches).map_err(QueryError::engine)?;
    let issued = cast(rows.column(0), &utc()).map_err(QueryError::engine)?;
    let issued = issued.as_primitive::<TimestampMicrosecondType>().value(0);
    Ok(DateTime::from_timestamp_micros(issued).map(|issued| (issued, rows)))
}
