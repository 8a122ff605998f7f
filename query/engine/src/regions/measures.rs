//! The measures of the daily tables, and how days become windows, months and years: means of daily values, each day weighing the same,
//! nulls ignored.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;

use crate::QueryError;

/// How the daily values of a measure become one value of a longer period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Mean,
    Min,
    Max,
    Sum,
    First,
    Last,
}

/// A column of a daily table: its name and what becomes of it over a longer period.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub name: &'static str,
    pub fold: Fold,
    /// A count (bigint) rather than a measurement (double).
    pub count: bool,
}

const fn measure(name: &'static str, fold: Fold) -> Measure {
    Measure { name, fold, count: false }
}

const fn count(name: &'static str) -> Measure {
    Measure { name, fold: Fold::Sum, count: true }
}

/// `weather.daily`, in the order of answers. Units: degC, mm, m/s, %.
pub(super) const WEATHER: [Measure; 7] = [
    measure("air_temperature_mean", Fold::Mean),
    measure("air_temperature_min", Fold::Min),
    measure("air_temperature_max", Fold::Max),
    measure("precipitation_sum", Fold::Sum),
    measure("wind_speed_mean", Fold::Mean),
    measure("relative_humidity_mean", Fold::Mean),
    count("hours"),
];

/// `market.daily`, in the order of answers. Prices are in the lake's currency.
pub(super) const MARKET: [Measure; 7] = [
    measure("price_open", Fold::First),
    measure("price_high", Fold::Max),
    measure("price_low", Fold::Min),
    measure("price_close", Fold::Last),
    measure("price_mean", Fold::Mean),
    measure("interest_mean", Fold::Mean),
    count("events"),
];

/// One region's days in memory, `day` ascending.
#[derive(Clone, Debug)]
pub(super) struct Days {
    batch: RecordBatch,
}

impl Days {
    /// Takes rows as `weather_daily.sql` and `market_daily.sql` answer them; `origin` becomes a dictionary, which is a byte a day.
    pub fn new(rows: &RecordBatch) -> Result<Self, QueryError> {
        let kept = |(field, column): (&arrow::datatypes::FieldRef, &ArrayRef)| -> Result<(String, ArrayRef), QueryError> {
            let kind = match field.name().as_str() {
                "origin" => DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
                "day" => DataType::Date32,
                _ => field.data_type().clone(),
            };
            Ok((field.name().clone(), cast(column, &kind).map_err(QueryError::engine)?))
        };
        let schema = rows.schema();
        let fields =
            schema.fields().iter().zip(rows.columns()).filter(|(field, _)| field.name() != "region_id");
        let columns: Result<Vec<_>, _> = fields.map(kept).collect();
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns?.into_iter().map(|(name, column)| (name, column, true)),
        );
        Ok(Self { batch: batch.map_err(QueryError::engine)? })
    }

    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The same with the days of a range replaced by those of `new`, all of which lie in it.
    pub fn spliced(&self, range: RangeInclusive<i32>, new: Option<&Self>) -> Result<Self, QueryError> {
        let old = self.span(*range.start(), range.end().saturating_add(1))?;
        let (before, after) =
            (self.batch.slice(0, old.start), self.batch.slice(old.end, self.len() - old.end));
        let parts = [Some(&before), new.map(Self::batch), Some(&after)];
        let parts: Result<Vec<_>, _> = parts.into_iter().flatten().map(with_plain_origin).collect();
        let parts = parts?;
        let schema = parts.first().map(RecordBatch::schema).unwrap_or_else(|| self.batch.schema());
        Self::new(&concat_batches(&schema, &parts).map_err(QueryError::engine)?)
    }

    pub fn bytes(&self) -> usize {
        self.batch.get_array_memory_size() + 256
    }

    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Days since 1970-01-01.
    pub fn day(&self) -> Result<&Date32Array, QueryError> {
        let day = self.batch.column_by_name("day").and_then(|column| column.as_primitive_opt::<Date32Type>());
        day.ok_or_else(|| missing("day"))
    }

    fn doubles(&self, name: &str) -> Result<&Float64Array, QueryError> {
        let column =
            self.batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float64Type>());
        column.ok_or_else(|| missing(name))
    }

    fn counts(&self, name: &str) -> Result<&Int64Array, QueryError> {
        let column =
            self.batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.ok_or_else(|| missing(name))
    }

    /// The measure over the rows of `span`; `None` where no row has it.
    pub fn fold(&self, measure: Measure, span: Range<usize>) -> Result<Option<f64>, QueryError> {
        let column = self.doubles(measure.name)?;
        Ok(fold(
            measure.fold,
            span.filter(|row| column.is_valid(*row))
                .map(|row| column.value(row))
                .filter(|value| !value.is_nan()),
        ))
    }

    /// The sum of a count over the rows of `span`; `None` where no row has it.
    pub fn total(&self, name: &str, span: Range<usize>) -> Result<Option<i64>, QueryError> {
        let column = self.counts(name)?;
        let values = span.filter(|row| column.is_valid(*row)).map(|row| column.value(row));
        Ok(values.fold(None, |sum: Option<i64>, value| Some(sum.unwrap_or(0).saturating_add(value))))
    }

    /// The last row that holds any measurement.
    pub fn latest(&self, measures: &[Measure]) -> Result<Option<usize>, QueryError> {
        let columns: Result<Vec<_>, _> =
            measures.iter().filter(|m| !m.count).map(|m| self.doubles(m.name)).collect();
        let columns = columns?;
        Ok((0..self.len()).rev().find(|row| columns.iter().any(|column| column.is_valid(*row))))
    }

    /// Rows whose day lies in `[from, to)`, both in days since 1970-01-01.
    pub fn span(&self, from: i32, to: i32) -> Result<Range<usize>, QueryError> {
        let days = self.day()?.values();
        let start = days.partition_point(|day| *day < from);
        let end = days.partition_point(|day| *day < to);
        Ok(start..end.max(start))
    }
}

/// Dictionaries that are put together again and again would run out of keys.
fn with_plain_origin(rows: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let plain = |(field, column): (&arrow::datatypes::FieldRef, &ArrayRef)| match field.name().as_str() {
        "origin" => cast(column, &DataType::Utf8).map(|column| (field.name().clone(), column, true)),
        _ => Ok((field.name().clone(), Arc::clone(column), true)),
    };
    let columns: Result<Vec<_>, _> = rows.schema().fields().iter().zip(rows.columns()).map(plain).collect();
    columns.and_then(RecordBatch::try_from_iter_with_nullable).map_err(QueryError::engine)
}

fn missing(name: &str) -> QueryError {
    QueryError::engine(MissingColumn(name.to_owned()))
}

#[derive(Debug, thiserror::Error)]
#[error("the rows have no column `{0}` of the expected type")]
struct MissingColumn(String);

/// `None` of no values. A sum starts with its first value, so that what is missing stays missing.
fn fold(how: Fold, mut values: impl Iterator<Item = f64>) -> Option<f64> {
    match how {
        Fold::Mean => {
            let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
            (count > 0).then(|| sum / f64::from(count))
        }
        Fold::Min => values.reduce(f64::min),
        Fold::Max => values.reduce(f64::max),
        Fold::Sum => values.reduce(|sum, value| sum + value),
        Fold::First => values.next(),
        Fold::Last => values.last(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_folds_to_nothing() {
        for how in [Fold::Mean, Fold::Min, Fold::Max, Fold::Sum, Fold::First, Fold::Last] {
            assert_eq!(fold(how, std::iter::empty()), None);
        }
    }

    #[test]
    fn folds_do_what_they_say() {
        let values = || [3.0, -1.0, 4.0].into_iter();
        let folded = [Fold::Mean, Fold::Min, Fold::Max, Fold::Sum, Fold::First, Fold::Last]
            .map(|how| fold(how, values()));
        assert_eq!(folded, [Some(2.0), Some(-1.0), Some(4.0), Some(6.0), Some(3.0), Some(4.0)]);
    }
}
