//! What is known of a file without opening it: made from the Parquet footer, kept in the log, used to skip files.
//!
//! ```text
//! footer ─▶ of_parquet ─▶ DataFile.min/max/nulls ─▶ Add.stats (text that every Delta reader understands)
//! snapshot ─▶ FileStatistics ─▶ PruningPredicate · column_statistics ─▶ planner
//! ```
//! Bounds always hold, also where they are cut or rounded. At most [`MOST_COLUMNS`] columns carry them, and no
//! column with a NaN: an upper bound must hold in the engine's order, in which NaN is the greatest number.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, NaiveDate, SecondsFormat};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;
use serde_json::{Value, json};

use crate::Error;
use crate::file::DataFile;

/// Columns beyond these have no bounds, as `delta.dataSkippingNumIndexedCols` says.
pub(crate) const MOST_COLUMNS: usize = 32;
const MOST_CHARACTERS: usize = 32;

/// Fills in `rows`, `min`, `max` and `nulls` of `file` from a footer. `skip` names the columns that get no bounds.
pub(crate) fn of_parquet(
    footer: &ParquetMetaData,
    schema: &Schema,
    skip: &HashSet<String>,
    file: &mut DataFile,
) -> Result<(), Error> {
    file.rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0);
    for field in schema.fields().iter().take(MOST_COLUMNS).filter(|field| !field.data_type().is_nested()) {
        let groups = || footer.row_groups().iter();
        let column =
            StatisticsConverter::try_new(field.name(), schema, footer.file_metadata().schema_descr())?;
        if let Some(nulls) = total(&column.row_group_null_counts(groups())?) {
            file.nulls.insert(field.name().clone(), nulls);
        }
        let (mins, maxes) = (column.row_group_mins(groups())?, column.row_group_maxes(groups())?);
        if skip.contains(field.name())
            || !complete(footer, &column.row_group_null_counts(groups())?, &mins, &maxes)
        {
            continue;
        }
        let bounds = extreme(&mins, Ordering::Less).zip(extreme(&maxes, Ordering::Greater));
        if let Some((min, max)) = bounds.and_then(|(min, max)| Some((lower(&min)?, upper(&max)?))) {
            file.min.insert(field.name().clone(), min);
            file.max.insert(field.name().clone(), max);
        }
    }
    Ok(())
}

/// Whether every row group tells its bounds, or holds nothing but NULLs.
fn complete(footer: &ParquetMetaData, nulls: &UInt64Array, mins: &ArrayRef, maxes: &ArrayRef) -> bool {
    footer.row_groups().iter().enumerate().all(|(index, group)| {
        let only_nulls = nulls.is_valid(index) && i64::try_from(nulls.value(index)) == Ok(group.num_rows());
        only_nulls || (mins.is_valid(index) && maxes.is_valid(index))
    })
}

fn total(counts: &UInt64Array) -> Option<u64> {
    (counts.null_count() == 0).then(|| counts.values().iter().sum())
}

/// The least (or greatest) of the values that are there.
fn extreme(values: &ArrayRef, keep: Ordering) -> Option<ScalarValue> {
    let mut best: Option<ScalarValue> = None;
    for index in (0..values.len()).filter(|index| values.is_valid(*index)) {
        let value = ScalarValue::try_from_array(values, index).ok()?;
        if best.as_ref().is_none_or(|best| value.partial_cmp(best) == Some(keep)) {
            best = Some(value);
        }
    }
    best
}

fn lower(value: &ScalarValue) -> Option<Value> {
    bound(value, false)
}

fn upper(value: &ScalarValue) -> Option<Value> {
    bound(value, true)
}

/// Delta's JSON form of a bound, rounded outwards; none for types that Delta keeps no bounds of.
fn bound(value: &ScalarValue, up: bool) -> Option<Value> {
    Some(match value {
        ScalarValue::Int8(Some(v)) => json!(v),
        ScalarValue::Int16(Some(v)) => json!(v),
        ScalarValue::Int32(Some(v)) => json!(v),
        ScalarValue::Int64(Some(v)) => json!(v),
        ScalarValue::Float32(Some(v)) if v.is_finite() => json!(v),
        ScalarValue::Float64(Some(v)) if v.is_finite() => json!(v),
        ScalarValue::Utf8(Some(text)) if up => json!(cut_up(text)?),
        ScalarValue::Utf8(Some(text)) => json!(text.chars().take(MOST_CHARACTERS).collect::<String>()),
        ScalarValue::Date32(Some(days)) => json!(day(*days)?.to_string()),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => json!(instant(*micros, up)?),
        ScalarValue::Decimal128(Some(unscaled), _, scale) => decimal(*unscaled, *scale)?,
        _ => return None,
    })
}

/// A text of at most 32 characters that is not less than `text`.
fn cut_up(text: &str) -> Option<String> {
    let mut cut: Vec<char> = text.chars().take(MOST_CHARACTERS).collect();
    if cut.len() == text.chars().count() {
        return Some(text.to_owned());
    }
    while let Some(last) = cut.pop() {
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            cut.push(next);
            return Some(cut.into_iter().collect());
        }
    }
    None
}

fn day(days: i32) -> Option<NaiveDate> {
    DateTime::from_timestamp(i64::from(days) * 86_400, 0).map(|at| at.date_naive())
}

fn instant(micros: i64, up: bool) -> Option<String> {
    let millis = if up { micros.checked_add(999)?.div_euclid(1000) } else { micros.div_euclid(1000) };
    Some(DateTime::from_timestamp_millis(millis)?.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Only where a double says it exactly; other readers parse it as one.
fn decimal(unscaled: i128, scale: i8) -> Option<Value> {
    const EXACT: i128 = 999_999_999_999_999;
    if unscaled.abs() > EXACT || !(0..=15).contains(&scale) {
        return None;
    }
    let value = format!("{unscaled}e-{scale}").parse::<f64>().ok()?;
    Some(json!(value))
}

/// A bound of the log as a value of the engine; none where text and type do not fit.
pub(crate) fn typed(bound: &Value, of: &DataType) -> Option<ScalarValue> {
    let int = || bound.as_i64();
    Some(match of {
        DataType::Int8 => ScalarValue::from(i8::try_from(int()?).ok()?),
        DataType::Int16 => ScalarValue::from(i16::try_from(int()?).ok()?),
        DataType::Int32 => ScalarValue::from(i32::try_from(int()?).ok()?),
        DataType::Int64 => ScalarValue::from(int()?),
        DataType::Float32 => ScalarValue::from(bound.as_f64()? as f32),
        DataType::Float64 => ScalarValue::from(bound.as_f64()?),
        DataType::Utf8 => ScalarValue::Utf8(Some(bound.as_str()?.to_owned())),
        DataType::Utf8View => ScalarValue::Utf8View(Some(bound.as_str()?.to_owned())),
        DataType::Date32 => {
            let date: NaiveDate = bound.as_str()?.get(..10)?.parse().ok()?;
            ScalarValue::Date32(
                i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok(),
            )
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let at = DateTime::parse_from_rfc3339(bound.as_str()?).ok()?;
            ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), zone.clone())
        }
        DataType::Decimal128(precision, scale) => {
            let unscaled = (bound.as_f64()? * 10f64.powi(i32::from(*scale))).round();
            ScalarValue::Decimal128(Some(unscaled as i128), *precision, *scale)
        }
        _ => return None,
    })
}

/// Whether a bound of this type is the value itself and not merely beyond it.
fn exact(of: &DataType) -> bool {
    matches!(of, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32)
}

/// The value of a partition column; Delta writes the empty text for NULL too.
pub(crate) fn partition_value(file: &DataFile, column: &str, of: &DataType) -> Option<ScalarValue> {
    match file.partition.get(column).and_then(Option::as_ref).filter(|text| !text.is_empty()) {
        Some(text) => ScalarValue::try_from_string(text.clone(), of).ok(),
        None => ScalarValue::try_from(of).ok(),
    }
}

/// What the planner is told of one column of a file.
pub(crate) fn column_statistics(file: &DataFile, column: &str, of: &DataType) -> ColumnStatistics {
    let known = |bound: Option<ScalarValue>| match bound {
        Some(value) if exact(of) => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    let nulls = file.nulls.get(column).and_then(|nulls| usize::try_from(*nulls).ok());
    ColumnStatistics {
        null_count: nulls.map_or(Precision::Absent, Precision::Exact),
        min_value: known(file.min(column, of)),
        max_value: known(file.max(column, of)),
        ..ColumnStatistics::new_unknown()
    }
}

/// The statistics object of an Add action.
pub(crate) fn to_log(file: &DataFile) -> String {
    json!({"numRecords": file.rows, "minValues": file.min, "maxValues": file.max, "nullCount": file.nulls})
        .to_string()
}

/// Reads what [`to_log`] or another writer wrote; nested columns and odd values are passed over.
/// False if the number of rows is not told: without it a count would be answered wrongly.
pub(crate) fn from_log(text: &str, file: &mut DataFile) -> bool {
    let Ok(Value::Object(mut stats)) = serde_json::from_str(text) else { return false };
    let mut take = |name: &str| -> BTreeMap<String, Value> {
        let Some(Value::Object(map)) = stats.remove(name) else { return BTreeMap::new() };
        map.into_iter().filter(|(_, value)| !value.is_object() && !value.is_null()).collect()
    };
    file.min = take("minValues");
    file.max = take("maxValues");
    file.nulls =
        take("nullCount").into_iter().filter_map(|(name, count)| Some((name, count.as_u64()?))).collect();
    let rows = stats.get("numRecords").and_then(Value::as_u64);
    file.rows = rows.unwrap_or(0);
    rows.is_some()
}

/// Files of one snapshot in the form that a pruning predicate asks.
pub(crate) struct FileStatistics<'a> {
    pub files: &'a [Arc<DataFile>],
    pub schema: &'a SchemaRef,
    pub partition_columns: &'a [String],
}

impl FileStatistics<'_> {
    fn values(
        &self,
        column: &Column,
        bound: fn(&DataFile, &str, &DataType) -> Option<ScalarValue>,
    ) -> Option<ArrayRef> {
        let of = self.schema.field_with_name(&column.name).ok()?.data_type();
        let unknown = ScalarValue::try_from(of).ok()?;
        let pick = if self.partition_columns.contains(&column.name) { partition_value } else { bound };
        let values =
            self.files.iter().map(|file| pick(file, &column.name, of).unwrap_or_else(|| unknown.clone()));
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |file, name, of| file.min(name, of))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |file, name, of| file.max(name, of))
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let partition = self.partition_columns.contains(&column.name);
        let count = |file: &Arc<DataFile>| match file.partition.get(&column.name) {
            Some(Some(text)) if partition && !text.is_empty() => Some(0),
            _ if partition => Some(file.rows),
            _ => file.nulls.get(&column.name).copied(),
        };
        Some(Arc::new(self.files.iter().map(count).collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| Some(file.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_after_they_are_cut_and_rounded() {
        let long = "é".repeat(40);
        let text = ScalarValue::from(long.as_str());
        let (low, high) = (lower(&text).unwrap(), upper(&text).unwrap());
        assert!(low.as_str().unwrap() <= long.as_str() && high.as_str().unwrap() >= long.as_str());
        let at = ScalarValue::TimestampMicrosecond(Some(1_700_000_000_123_456), Some("UTC".into()));
        let zone = at.data_type();
        assert!(typed(&lower(&at).unwrap(), &zone).unwrap() < at);
        assert!(typed(&upper(&at).unwrap(), &zone).unwrap() > at);
        assert_eq!(upper(&ScalarValue::from("z")), Some(json!("z")));
    }

    #[test]
    fn exact_types_come_back_as_they_were() {
        for value in [
            ScalarValue::from(-7_i64),
            ScalarValue::from(3_i16),
            ScalarValue::from(1.5_f64),
            ScalarValue::Date32(Some(-1)),
            ScalarValue::Date32(Some(20_000)),
            ScalarValue::Decimal128(Some(-123_456), 12, 2),
            ScalarValue::from("short"),
        ] {
            let of = value.data_type();
            assert_eq!(typed(&lower(&value).unwrap(), &of), Some(value.clone()));
            assert_eq!(typed(&upper(&value).unwrap(), &of), Some(value));
        }
        assert_eq!(bound(&ScalarValue::from(f64::INFINITY), true), None);
        assert_eq!(decimal(10_i128.pow(20), 2), None);
    }

    #[test]
    fn statistics_of_other_writers_are_read_where_they_make_sense() {
        let mut file = DataFile::default();
        let told = from_log(
            r#"{"numRecords":3,"minValues":{"a":1,"s":{"x":1},"n":null},"maxValues":{"a":2},"nullCount":{"a":0,"s":{"x":0}}}"#,
            &mut file,
        );
        assert!(told);
        assert_eq!((file.rows, file.min.len(), file.nulls.get("a")), (3, 1, Some(&0)));
        assert_eq!(file.max("a", &DataType::Int64), Some(ScalarValue::from(2_i64)));
        let mut again = DataFile::default();
        assert!(from_log(&to_log(&file), &mut again));
        assert_eq!(again, file);
        assert!(!from_log("not json", &mut file) && !from_log("{}", &mut file));
    }
}
