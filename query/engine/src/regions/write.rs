//! Rows of series as JSON, column by column and without a value in between: a 15-year series is 40 000 numbers.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat};

use crate::QueryError;

/// Instants in answers.
pub(super) fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Appends the rows of `batches` to `out` as a JSON array of objects.
pub(super) fn array(batches: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), QueryError> {
    out.push(b'[');
    let mut first = true;
    for batch in batches {
        let columns = columns(batch)?;
        out.reserve(batch.num_rows() * columns.len() * 24);
        for row in 0..batch.num_rows() {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            object(&columns, row, out);
        }
    }
    out.push(b']');
    Ok(())
}

/// A column with its key as it is written before each value.
struct Column {
    key: Vec<u8>,
    values: Values,
}

enum Values {
    Double(Float64Array),
    Count(Int64Array),
    Day(Date32Array),
    Instant(TimestampMicrosecondArray),
    Text(StringArray),
    /// Few different texts, each already in JSON.
    Words(Vec<Vec<u8>>, arrow::array::Int8Array),
}

fn columns(batch: &RecordBatch) -> Result<Vec<Column>, QueryError> {
    let schema = batch.schema();
    let pairs = schema.fields().iter().zip(batch.columns()).enumerate();
    pairs
        .map(|(at, (field, values))| {
            let comma = if at == 0 { "" } else { "," };
            let key = format!("{comma}{}:", json(field.name()));
            Ok(Column { key: key.into_bytes(), values: values_of(values)? })
        })
        .collect()
}

fn values_of(column: &ArrayRef) -> Result<Values, QueryError> {
    let to = |kind: &DataType| cast(column, kind).map_err(QueryError::engine);
    Ok(match column.data_type() {
        DataType::Float64 => Values::Double(column.as_primitive::<Float64Type>().clone()),
        DataType::Int64 => Values::Count(column.as_primitive::<Int64Type>().clone()),
        DataType::Date32 => Values::Day(column.as_primitive::<Date32Type>().clone()),
        DataType::Timestamp(..) => {
            Values::Instant(to(&utc())?.as_primitive::<TimestampMicrosecondType>().clone())
        }
        DataType::Dictionary(key, _) if **key == DataType::Int8 => words(column)?,
        _ => Values::Text(to(&DataType::Utf8)?.as_string::<i32>().clone()),
    })
}

fn words(column: &ArrayRef) -> Result<Values, QueryError> {
    let dictionary = column.as_dictionary::<arrow::datatypes::Int8Type>();
    let words = cast(dictionary.values(), &DataType::Utf8).map_err(QueryError::engine)?;
    let words = words
        .as_string::<i32>()
        .iter()
        .map(|word| word.map_or_else(|| b"null".to_vec(), |word| json(word).into_bytes()));
    Ok(Values::Words(words.collect(), dictionary.keys().clone()))
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn object(columns: &[Column], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for column in columns {
        out.extend_from_slice(&column.key);
        column.values.write(row, out);
    }
    out.push(b'}');
}

impl Values {
    fn array(&self) -> &dyn Array {
        match self {
            Self::Double(values) => values,
            Self::Count(values) => values,
            Self::Day(values) => values,
            Self::Instant(values) => values,
            Self::Text(values) => values,
            Self::Words(_, keys) => keys,
        }
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.array().is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match self {
            Self::Double(values) => double(values.value(row), out),
            Self::Count(values) => count(values.value(row), out),
            Self::Day(values) => day(values.value(row), out),
            Self::Instant(values) => instant(values.value(row), out),
            Self::Text(values) => out.extend_from_slice(json(values.value(row)).as_bytes()),
            Self::Words(words, keys) => {
                let word = usize::try_from(keys.value(row)).ok().and_then(|key| words.get(key));
                out.extend_from_slice(word.map_or(b"null", Vec::as_slice));
            }
        }
    }
}

// Writing to a `Vec` cannot fail, so the results below say nothing.

/// The shortest text that reads back as the same double; NaN and infinities are null.
fn double(value: f64, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, &value);
}

/// A number where a double holds it exactly, else text.
fn count(value: i64, out: &mut Vec<u8>) {
    const EXACT: u64 = 1 << 53;
    let _ = match value.unsigned_abs() <= EXACT {
        true => write!(out, "{value}"),
        false => write!(out, "\"{value}\""),
    };
}

fn day(days: i32, out: &mut Vec<u8>) {
    match Date32Type::to_naive_date_opt(days) {
        Some(date) if (0..=9999).contains(&date.year()) => quoted_date(date, out),
        _ => out.extend_from_slice(b"null"),
    }
}

/// `"YYYY-MM-DD"` digit by digit: there are thousands, and the general formatter is slow.
fn quoted_date(date: NaiveDate, out: &mut Vec<u8>) {
    let digit = |number: u32| b'0' + (number % 10) as u8;
    let (year, month, day) = (date.year().unsigned_abs(), date.month(), date.day());
    out.extend_from_slice(&[
        b'"',
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day / 10),
        digit(day),
        b'"',
    ]);
}

fn instant(micros: i64, out: &mut Vec<u8>) {
    match DateTime::from_timestamp_micros(micros) {
        Some(instant) => {
            let _ = write!(out, "\"{}\"", instant.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// A column that says the same word in every row.
pub(super) fn constant(word: &str, rows: usize) -> ArrayRef {
    let keys = arrow::array::Int8Array::from(vec![0_i8; rows]);
    let words: ArrayRef = Arc::new(StringArray::from(vec![word]));
    match arrow::array::DictionaryArray::try_new(keys, words) {
        Ok(column) => Arc::new(column),
        // One word and keys of 0 always fit; plain text would say the same.
        Err(_) => Arc::new(StringArray::from(vec![word; rows])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_plain_json() {
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("day", Arc::new(Date32Array::from(vec![0, 19_782])) as ArrayRef, true),
            ("mean", Arc::new(Float64Array::from(vec![Some(8.1), None])) as ArrayRef, true),
            ("nan", Arc::new(Float64Array::from(vec![f64::NAN, 2.0])) as ArrayRef, true),
            ("n", Arc::new(Int64Array::from(vec![24, i64::MAX])) as ArrayRef, true),
            (
                "at",
                Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000]).with_timezone("UTC"))
                    as ArrayRef,
                true,
            ),
            ("region_id", constant("a\"b", 2), true),
        ]);
        let mut out = Vec::new();
        array(&[batch.unwrap()], &mut out).unwrap();
        let expected = concat!(
            r#"[{"day":"1970-01-01","mean":8.1,"nan":null,"n":24,"at":"1970-01-01T00:00:00Z","region_id":"a\"b"},"#,
            r#"{"day":"2024-02-29","mean":null,"nan":2.0,"n":"9223372036854775807","at":"1970-01-01T00:00:01.500Z","region_id":"a\"b"}]"#,
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
