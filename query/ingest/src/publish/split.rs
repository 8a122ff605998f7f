//! Rows by the day or month of a column, so that no file holds two of them.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Date32Type};

use super::{Error, Period, Split};

/// Rows of one period; `None` holds the rows without a value. In the order of time.
pub type Parts = BTreeMap<Option<i64>, Vec<RecordBatch>>;

/// The rows of `batches` by their period; all in one part without a split. Errors: [`Error::Schema`] for a column that is no date.
pub fn split(batches: Vec<RecordBatch>, by: Option<&Split>) -> Result<Parts, Error> {
    let mut parts = Parts::new();
    for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
        match by {
            None => parts.entry(None).or_default().push(batch),
            Some(by) => split_batch(&batch, by, &mut parts)?,
        }
    }
    Ok(parts)
}

fn split_batch(batch: &RecordBatch, by: &Split, parts: &mut Parts) -> Result<(), Error> {
    let mut rows: BTreeMap<Option<i64>, Vec<u64>> = BTreeMap::new();
    for (row, period) in periods(batch, by)?.into_iter().enumerate() {
        rows.entry(period).or_default().push(row as u64);
    }
    for (period, rows) in rows {
        let part = if rows.len() == batch.num_rows() {
            batch.clone()
        } else {
            take_record_batch(batch, &UInt64Array::from(rows))?
        };
        parts.entry(period).or_default().push(part);
    }
    Ok(())
}

fn periods(batch: &RecordBatch, by: &Split) -> Result<Vec<Option<i64>>, Error> {
    let column = batch
        .column_by_name(&by.column)
        .ok_or_else(|| Error::Schema(format!("there is no column {}", by.column)))?;
    let days = match column.data_type() {
        DataType::Date32 | DataType::Timestamp(..) => cast(column, &DataType::Date32)?,
        other => return Err(Error::Schema(format!("column {} of type {other} has no days", by.column))),
    };
    let of = |day: i32| match by.period {
        Period::Day => i64::from(day),
        Period::Month => lake::month_of(day),
    };
    Ok(days.as_primitive::<Date32Type>().iter().map(|day| day.map(of)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{ArrayRef, Date32Array, TimestampMicrosecondArray};

    fn counts(array: ArrayRef, period: Period) -> Vec<usize> {
        let batch = RecordBatch::try_from_iter([("day", array)]).unwrap();
        let parts = split(vec![batch], Some(&Split { column: "day".into(), period })).unwrap();
        parts.values().map(|part| part.iter().map(RecordBatch::num_rows).sum()).collect()
    }

    #[test]
    fn rows_part_at_days_and_months() {
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(30), Some(31), Some(31), None, Some(0)]));
        assert_eq!(counts(Arc::clone(&days), Period::Day), [1, 1, 1, 2]);
        assert_eq!(counts(days, Period::Month), [1, 2, 2]);
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![-1, 0, 86_399_999_999]).with_timezone("UTC"));
        assert_eq!(counts(times, Period::Day), [1, 2]);
    }
}
