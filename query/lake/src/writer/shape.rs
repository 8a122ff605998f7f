//! Which rows go into which file, in which order.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::Error;

/// Values of the partition columns in Delta's text form.
pub(crate) type Partition = BTreeMap<String, Option<String>>;

/// Arrow bytes held for sorting before they go out as one sorted run.
const RUN_BYTES: usize = 64 << 20;

/// The order of every sorted file, which is also what SQL means by `ORDER BY x`.
const NULLS_LAST: SortOptions = SortOptions { descending: false, nulls_first: false };

/// Splits a batch into one batch a partition, without the partition columns.
pub(crate) fn split(
    batch: &RecordBatch,
    by: &[String],
    file: &SchemaRef,
) -> Result<Vec<(Partition, RecordBatch)>, Error> {
    if by.is_empty() {
        return Ok(vec![(Partition::new(), batch.clone())]);
    }
    let kept: Vec<usize> = file
        .fields()
        .iter()
        .map(|field| batch.schema_ref().index_of(field.name()))
        .collect::<Result<_, _>>()?;
    let rest = batch.project(&kept)?;
    let mut rows: BTreeMap<Vec<Option<String>>, Vec<u32>> = BTreeMap::new();
    for (row, key) in keys(batch, by)?.into_iter().enumerate() {
        rows.entry(key).or_default().push(u32::try_from(row).unwrap_or(u32::MAX));
    }
    let part = |(key, rows): (Vec<Option<String>>, Vec<u32>)| {
        let partition = by.iter().cloned().zip(key).collect();
        Ok((partition, take_record_batch(&rest, &UInt32Array::from(rows))?))
    };
    rows.into_iter().map(part).collect()
}

/// Each row's partition values as text: dates as `2026-01-31`, instants as `2026-01-31 00:00:00`, numbers plain.
fn keys(batch: &RecordBatch, by: &[String]) -> Result<Vec<Vec<Option<String>>>, Error> {
    let format = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.6f"));
    let columns = by.iter().map(|name| {
        batch.column_by_name(name).ok_or_else(|| Error::Unsupported(format!("no column {name}")))
    });
    let columns: Vec<_> = columns.collect::<Result<_, _>>()?;
    let formatters: Vec<_> =
        columns.iter().map(|column| ArrayFormatter::try_new(column, &format)).collect::<Result<_, _>>()?;
    let text = |row: usize, (column, formatter): (&&ArrayRef, &ArrayFormatter<'_>)| {
        column.is_valid(row).then(|| formatter.value(row).to_string()).filter(|text| !text.is_empty())
    };
    Ok((0..batch.num_rows())
        .map(|row| columns.iter().zip(&formatters).map(|pair| text(row, pair)).collect())
        .collect())
}

/// Rows of one partition waiting to become a sorted run.
pub(crate) struct Runs {
    sort: Vec<usize>,
    converter: Option<RowConverter>,
    waiting: Vec<RecordBatch>,
    bytes: usize,
    last: Option<OwnedRow>,
}

/// A run ready to be written.
pub(crate) struct Run {
    pub rows: RecordBatch,
    /// Whether it begins at or after the end of the run before, so that the same file stays sorted.
    pub follows: bool,
}

impl Runs {
    /// `sort` names columns of `schema`; with none, batches pass as they come.
    pub fn new(schema: &SchemaRef, sort: &[String]) -> Result<Self, Error> {
        let sort: Vec<usize> = sort.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let fields = sort
            .iter()
            .map(|index| SortField::new_with_options(schema.field(*index).data_type().clone(), NULLS_LAST))
            .collect();
        let converter = if sort.is_empty() { None } else { Some(RowConverter::new(fields)?) };
        Ok(Self { sort, converter, waiting: Vec::new(), bytes: 0, last: None })
    }

    /// Arrow bytes that wait to be sorted.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_sorting(&self) -> bool {
        self.converter.is_some()
    }

    /// Takes rows in; gives a run once enough are there.
    pub fn push(&mut self, batch: RecordBatch) -> Result<Option<Run>, Error> {
        if !self.is_sorting() {
            return Ok(Some(Run { rows: batch, follows: true }));
        }
        self.bytes += batch
            .columns()
            .iter()
            .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
            .sum::<usize>();
        self.waiting.push(batch);
        if self.bytes >= RUN_BYTES { self.drain() } else { Ok(None) }
    }

    /// What is still waiting, as the last run.
    pub fn drain(&mut self) -> Result<Option<Run>, Error> {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let (Some(first), Some(converter)) = (waiting.first(), &self.converter) else {
            return Ok(None);
        };
        let all = concat_batches(&first.schema(), &waiting)?;
        drop(waiting);
        let key: Vec<ArrayRef> = self.sort.iter().map(|index| Arc::clone(all.column(*index))).collect();
        let keys = converter.convert_columns(&key)?;
        let mut order: Vec<u32> = (0..u32::try_from(all.num_rows()).map_err(Error::internal)?).collect();
        let row = |index: &u32| keys.row(*index as usize);
        let sorted = order.is_sorted_by(|a, b| row(a) <= row(b));
        if !sorted {
            order.sort_by(|a, b| row(a).cmp(&row(b)));
        }
        let (Some(least), Some(greatest)) = (order.first().map(row), order.last().map(row)) else {
            return Ok(None);
        };
        let follows = self.last.as_ref().is_none_or(|last| last.row().cmp(&least) != Ordering::Greater);
        self.last = Some(greatest.owned());
        let rows = if sorted { all } else { take_record_batch(&all, &UInt32Array::from(order))? };
        Ok(Some(Run { rows, follows }))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn batch(days: &[Option<&str>], n: &[i64]) -> RecordBatch {
        let day: ArrayRef = Arc::new(StringArray::from(days.to_vec()));
        RecordBatch::try_from_iter_with_nullable([
            ("day", day, true),
            ("n", Arc::new(Int64Array::from(n.to_vec())) as ArrayRef, true),
        ])
        .unwrap()
    }

    #[test]
    fn rows_go_to_their_partitions_and_null_is_one() {
        let file = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let parts =
            split(&batch(&[Some("a"), None, Some("a"), Some("")], &[1, 2, 3, 4]), &["day".into()], &file)
                .unwrap();
        let told: Vec<_> =
            parts.iter().map(|(p, b)| (p["day"].clone(), b.num_rows(), b.num_columns())).collect();
        assert_eq!(told, [(None, 2, 1), (Some("a".into()), 2, 1)]);
    }

    #[test]
    fn runs_are_sorted_and_know_whether_they_follow() {
        let schema = batch(&[], &[]).schema();
        let mut runs = Runs::new(&schema, &["n".into()]).unwrap();
        assert!(runs.push(batch(&[Some("x"); 3], &[3, 1, 2])).unwrap().is_none());
        let run = runs.drain().unwrap().unwrap();
        assert!(run.follows);
        assert_eq!(run.rows.column(1).as_ref(), &Int64Array::from(vec![1, 2, 3]));
        runs.push(batch(&[Some("x")], &[2])).unwrap();
        assert!(!runs.drain().unwrap().unwrap().follows);
        assert!(runs.drain().unwrap().is_none());
    }
}
