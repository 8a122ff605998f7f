//! Months of dates and instants (UTC): of a day, of a file by its bounds, of the rows of a batch.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, Schema};
use chrono::{DateTime, Datelike};
use datafusion::scalar::ScalarValue;

use crate::{DataFile, Error};

/// Months since year 0 of a day counted from 1970-01-01.
pub fn month_of(day: i32) -> i64 {
    let date = DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap_or_default();
    i64::from(date.year()) * 12 + i64::from(date.month0())
}

/// The month that all rows of a file lie in; `None` for one whose rows lie in several, or whose bounds are not known.
pub(crate) fn of_file(file: &DataFile, column: &str, schema: &Schema) -> Option<i64> {
    let of = schema.field_with_name(column).ok()?.data_type().clone();
    let month = |bound: Option<ScalarValue>| match bound?.cast_to(&DataType::Date32).ok()? {
        ScalarValue::Date32(Some(day)) => Some(month_of(day)),
        _ => None,
    };
    let (first, last) = (month(file.min(column, &of))?, month(file.max(column, &of))?);
    (first == last).then_some(first)
}

/// The rows of a batch by their month; those without a date by themselves. Errors: the column is no date.
pub(crate) fn of_rows(
    batch: &RecordBatch,
    column: &str,
) -> Result<BTreeMap<Option<i64>, RecordBatch>, Error> {
    let dates =
        batch.column_by_name(column).ok_or_else(|| Error::Unsupported(format!("no column {column}")))?;
    let days = cast(dates, &DataType::Date32).map_err(Error::internal)?;
    let mut rows: BTreeMap<Option<i64>, Vec<u64>> = BTreeMap::new();
    for (row, day) in days.as_primitive::<Date32Type>().iter().enumerate() {
        rows.entry(day.map(month_of)).or_default().push(row as u64);
    }
    if rows.len() == 1 {
        return Ok(rows.into_keys().map(|month| (month, batch.clone())).collect());
    }
    let part = |(month, rows)| Ok((month, take_record_batch(batch, &UInt64Array::from(rows))?));
    rows.into_iter().map(part).collect::<Result<_, arrow::error::ArrowError>>().map_err(Error::internal)
}
