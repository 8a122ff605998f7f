//! Copy on write: which files hold rows that go, and what stays of them.
//!
//! ```text
//! all files ─ bounds in the log ─▶ may hold such rows ─ read ─▶ do hold some: what stays is written anew
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Date32Type, SchemaRef};
use chrono::NaiveDate;
use datafusion::scalar::ScalarValue;
use lake::{DataFile, Lake, Location, Snapshot};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::conform::conform;
use super::keys::{KeyReader, KeySet};
use super::{Error, Window};

/// Which rows go.
pub enum Going {
    Keys { reader: KeyReader, set: KeySet, bounds: Vec<Bounds> },
    Windows { column: String, windows: Vec<Window> },
}

/// Least and greatest value of one column over the rows that replace.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    column: String,
    /// Type, least and greatest value; `None` before the first row.
    span: Option<(DataType, ScalarValue, ScalarValue)>,
}

/// The files that go, and the rows of them that stay.
#[derive(Default)]
pub struct Rewrite {
    pub removed: Vec<String>,
    pub kept: Vec<RecordBatch>,
}

const REGION: &str = "region_id";

impl Going {
    /// The rows with a key of `rows`.
    pub fn keys(schema: &SchemaRef, key: &[String], rows: &[RecordBatch]) -> Result<Self, Error> {
        let reader = KeyReader::new(schema, key)?;
        let set = reader.set(rows)?;
        let mut bounds = Bounds::none(key);
        rows.iter().for_each(|batch| bounds.iter_mut().for_each(|bounds| bounds.widen(batch)));
        Ok(Self::Keys { reader, set, bounds })
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Keys { set, .. } => set.is_empty(),
            Self::Windows { windows, .. } => windows.is_empty(),
        }
    }

    /// Whether the log leaves open that `file` holds such rows.
    fn may_be_in(&self, file: &DataFile, schema: &SchemaRef) -> bool {
        match self {
            Self::Keys { bounds, .. } => bounds.iter().all(|bounds| bounds.overlap(file)),
            Self::Windows { column, windows } => {
                let extent = Extent::of(file, column, schema);
                windows.iter().any(|window| extent.overlaps(window))
            }
        }
    }

    fn staying(&self, batch: &RecordBatch) -> Result<BooleanArray, Error> {
        match self {
            Self::Keys { reader, set, .. } => reader.outside(batch, set),
            Self::Windows { column, windows } => outside(batch, column, windows),
        }
    }
}

impl Bounds {
    /// Bounds of these columns over no rows yet.
    pub fn none(columns: &[String]) -> Vec<Self> {
        columns.iter().map(|column| Self { column: column.clone(), span: None }).collect()
    }

    /// Takes the rows of `batch` in.
    pub fn widen(&mut self, batch: &RecordBatch) {
        let Some(array) = batch.column_by_name(&self.column).filter(|array| !array.is_empty()) else {
            return;
        };
        let Some((low, high)) = extremes(array) else { return };
        self.span = Some(match self.span.take() {
            None => (array.data_type().clone(), low, high),
            Some((of, min, max)) => (of, lesser(min, low), greater(max, high)),
        });
    }

    /// Whether the log leaves open that `file` holds such a value.
    pub fn overlap(&self, file: &DataFile) -> bool {
        let Some((of, min, max)) = &self.span else { return true };
        let (low, high) = (file.min(&self.column, of), file.max(&self.column, of));
        let above = low.is_some_and(|low| low.partial_cmp(max).is_some_and(std::cmp::Ordering::is_gt));
        let below = high.is_some_and(|high| high.partial_cmp(min).is_some_and(std::cmp::Ordering::is_lt));
        !above && !below
    }
}

fn lesser(a: ScalarValue, b: ScalarValue) -> ScalarValue {
    if b < a { b } else { a }
}

fn greater(a: ScalarValue, b: ScalarValue) -> ScalarValue {
    if b > a { b } else { a }
}

fn extremes(array: &arrow::array::ArrayRef) -> Option<(ScalarValue, ScalarValue)> {
    let sorted = arrow::compute::sort(array, None).ok()?;
    let last = sorted.len().checked_sub(1)?;
    let first = sorted.null_count().min(last);
    Some((
        ScalarValue::try_from_array(&sorted, first).ok()?,
        ScalarValue::try_from_array(&sorted, last).ok()?,
    ))
}

/// What must be written anew so that the rows that go are gone. Reads only files that may hold such rows.
pub async fn rewrite(
    lake: &Lake,
    snapshot: &Arc<Snapshot>,
    schema: &SchemaRef,
    going: &Going,
) -> Result<Rewrite, Error> {
    let mut rewrite = Rewrite::default();
    if going.is_empty() {
        return Ok(rewrite);
    }
    for file in snapshot.files().iter().filter(|file| going.may_be_in(file, schema)) {
        let mut kept = Vec::new();
        let mut gone = false;
        for batch in read_file(lake, snapshot.location(), file, schema).await? {
            let staying = going.staying(&batch)?;
            gone |= staying.true_count() < batch.num_rows();
            kept.push(filter_record_batch(&batch, &staying)?);
        }
        if gone {
            rewrite.removed.push(file.path.clone());
            rewrite.kept.extend(kept.into_iter().filter(|batch| batch.num_rows() > 0));
        }
    }
    Ok(rewrite)
}

/// The rows of one file in the shape of the table.
pub async fn read_file(
    lake: &Lake,
    at: &Location,
    file: &DataFile,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>, Error> {
    let bytes = lake.read_range(at, file, 0..file.size).await?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(64 << 10).build()?;
    reader.map(|batch| conform(&batch?, schema)).collect()
}

/// What the log says of a file's days and regions.
struct Extent {
    first: Option<i32>,
    last: Option<i32>,
    least: Option<String>,
    most: Option<String>,
}

impl Extent {
    fn of(file: &DataFile, column: &str, schema: &SchemaRef) -> Self {
        let kind = schema.field_with_name(column).ok().map(|field| field.data_type());
        let day = |value: Option<ScalarValue>| match value?.cast_to(&DataType::Date32).ok()? {
            ScalarValue::Date32(day) => day,
            _ => None,
        };
        let text = |value: Option<ScalarValue>| Some(value?.try_as_str()??.to_owned());
        Self {
            first: day(kind.and_then(|kind| file.min(column, kind))),
            last: day(kind.and_then(|kind| file.max(column, kind))),
            least: text(file.min(REGION, &DataType::Utf8)),
            most: text(file.max(REGION, &DataType::Utf8)),
        }
    }

    fn overlaps(&self, window: &Window) -> bool {
        let (from, to) = (days(window.from), days(window.to));
        let apart = self.first.is_some_and(|first| first >= to) || self.last.is_some_and(|last| last < from);
        !apart && window.region.as_ref().is_none_or(|region| self.may_hold(region.as_str()))
    }

    fn may_hold(&self, region: &str) -> bool {
        self.least.as_deref().is_none_or(|least| least <= region)
            && self.most.as_deref().is_none_or(|most| region <= most)
    }
}

/// Which rows lie in none of the windows.
fn outside(batch: &RecordBatch, column: &str, windows: &[Window]) -> Result<BooleanArray, Error> {
    let column =
        batch.column_by_name(column).ok_or_else(|| Error::Schema(format!("there is no column {column}")))?;
    let dates = cast(column, &DataType::Date32)?;
    let dates = dates.as_primitive::<Date32Type>();
    let regions = match windows.iter().any(|window| window.region.is_some()) {
        false => None,
        true => Some(cast(
            batch
                .column_by_name(REGION)
                .ok_or_else(|| Error::Schema("there is no column region_id".into()))?,
            &DataType::Utf8,
        )?),
    };
    let region_of = |row: usize| regions.as_ref().map(|regions| regions.as_string::<i32>().value(row));
    let wanted = Wanted::new(windows);
    let stays = |row: usize| dates.is_null(row) || !wanted.holds(region_of(row), dates.value(row));
    Ok((0..batch.num_rows()).map(|row| Some(stays(row))).collect())
}

/// Windows sorted by region, so that many of them are asked quickly.
struct Wanted<'a> {
    of_all: Vec<(i32, i32)>,
    of_region: std::collections::HashMap<&'a str, BTreeSet<(i32, i32)>>,
}

impl<'a> Wanted<'a> {
    fn new(windows: &'a [Window]) -> Self {
        let mut wanted = Self { of_all: Vec::new(), of_region: std::collections::HashMap::new() };
        for window in windows {
            let span = (days(window.from), days(window.to));
            match &window.region {
                None => wanted.of_all.push(span),
                Some(region) => {
                    wanted.of_region.entry(region.as_str()).or_default().insert(span);
                }
            }
        }
        wanted
    }

    fn holds(&self, region: Option<&str>, day: i32) -> bool {
        let within = |(from, to): &(i32, i32)| (*from..*to).contains(&day);
        self.of_all.iter().any(within)
            || region
                .and_then(|region| self.of_region.get(region))
                .is_some_and(|spans| spans.iter().any(within))
    }
}

/// Days since 1970-01-01.
fn days(date: NaiveDate) -> i32 {
    i32::try_from((date - NaiveDate::default()).num_days()).unwrap_or(i32::MAX)
}
