//! Arrow types that Delta has no word for, brought to those it has; and schemas to and from the log's text.
//!
//! ```text
//! any RecordBatch ─▶ normalise_batch ─▶ Delta types only ─▶ Parquet
//! UInt8..32 ─▶ next wider Int · UInt64 ─▶ Int64 (or an error) · instants ─▶ µs, UTC · Time, Interval ─▶ text
//! Large*, *View, Dictionary, RunEnd ─▶ the plain type · Decimal32/64/256 ─▶ Decimal128 · Null ─▶ text
//! ```
//! A timestamp without a zone is taken for UTC: instants are UTC everywhere in the lake.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::Error;
use crate::log::columns;

/// The schema as the lake stores it: Delta's types, every column nullable, no metadata.
/// Errors: [`Error::Unsupported`] for a type without a counterpart (unions).
pub fn normalise_schema(schema: &Schema) -> Result<SchemaRef, Error> {
    let fields: Vec<_> = schema.fields().iter().map(|field| plain_field(field)).collect::<Result<_, _>>()?;
    // there and back, so that names inside lists and maps are those which a table read back has
    columns::from_text(&columns::to_text(&Schema::new(fields))?).map(Arc::new)
}

/// The batch with the schema that [`normalise_schema`] gives; cheap where nothing has to change.
/// Errors: [`Error::Unsupported`] for a type or a value (a UInt64 beyond Int64) without a counterpart.
pub fn normalise_batch(batch: &RecordBatch) -> Result<RecordBatch, Error> {
    conform(batch, &normalise_schema(batch.schema_ref())?)
}

/// Casts the columns of `batch`, by position, to those of `schema`.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::Unsupported(format!(
            "{} columns where {} belong",
            batch.num_columns(),
            schema.fields().len()
        )));
    }
    let strict = CastOptions { safe: false, ..Default::default() };
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        cast_with_options(column, field.data_type(), &strict)
            .map_err(|error| Error::Unsupported(format!("column {}: {error}", field.name())))
    });
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)?)
}

fn plain_field(field: &Field) -> Result<Field, Error> {
    let r#type = plain(field.data_type()).ok_or_else(|| {
        Error::Unsupported(format!("column {} of type {}", field.name(), field.data_type()))
    })?;
    Ok(Field::new(field.name(), r#type, true))
}

fn plain(r#type: &DataType) -> Option<DataType> {
    use DataType as T;
    let child = |field: &Field, nullable| {
        Some(Arc::new(Field::new(field.name(), plain(field.data_type())?, nullable)))
    };
    Some(match r#type {
        T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 | T::Duration(_) => T::Int64,
        T::Float16 => T::Float32,
        T::Date64 => T::Date32,
        T::Timestamp(_, _) => T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        T::Decimal32(p, s) | T::Decimal64(p, s) => T::Decimal128(*p, *s),
        T::Decimal256(_, s) => T::Decimal128(38, *s),
        T::Null | T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Time32(_) | T::Time64(_) | T::Interval(_) => {
            T::Utf8
        }
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Dictionary(_, value) => plain(value)?,
        T::RunEndEncoded(_, value) => plain(value.data_type())?,
        T::List(f) | T::LargeList(f) | T::ListView(f) | T::LargeListView(f) | T::FixedSizeList(f, _) => {
            T::List(child(f, true)?)
        }
        T::Struct(fields) => T::Struct(fields.iter().map(|f| child(f, true)).collect::<Option<Fields>>()?),
        T::Map(entries, sorted) => {
            let T::Struct(pair) = entries.data_type() else { return None };
            let [key, value] = pair.iter().collect::<Vec<_>>()[..] else { return None };
            let pair = T::Struct([child(key, false)?, child(value, true)?].into_iter().collect());
            T::Map(Arc::new(Field::new(entries.name(), pair, false)), *sorted)
        }
        T::Union(..) => return None,
        same => same.clone(),
    })
}

/// A stored schema in the log's own words, for `#[serde(with = "lake::stored_schema")]`.
pub mod stored_schema {
    use std::sync::Arc;

    use arrow::datatypes::SchemaRef;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _, ser::Error as _};

    use crate::log::columns;

    /// Errors: a schema that [`super::normalise_schema`] did not make.
    pub fn serialize<S: Serializer>(schema: &SchemaRef, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&columns::to_text(schema).map_err(S::Error::custom)?)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SchemaRef, D::Error> {
        let text = String::deserialize(from)?;
        columns::from_text(&text).map(Arc::new).map_err(D::Error::custom)
    }
}

/// The schema that queries see: text and bytes as views, which the engine keeps from scan to answer.
pub(crate) fn with_views(schema: &Schema) -> SchemaRef {
    let view = |field: &Arc<Field>| {
        let r#type = match field.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            DataType::Binary => DataType::BinaryView,
            _ => return Arc::clone(field),
        };
        Arc::new(field.as_ref().clone().with_data_type(r#type))
    };
    Arc::new(Schema::new(schema.fields().iter().map(view).collect::<Fields>()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        ArrayRef, DictionaryArray, NullArray, StringViewArray, TimestampNanosecondArray, UInt8Array,
        UInt64Array,
    };
    use arrow::datatypes::Int32Type;

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn what_delta_has_no_word_for_is_stored_in_the_next_best_type() {
        let words: DictionaryArray<Int32Type> = vec!["a", "b"].into_iter().collect();
        let given = batch(vec![
            ("small", Arc::new(UInt8Array::from(vec![1, 255]))),
            ("at", Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000]))),
            ("word", Arc::new(words)),
            ("view", Arc::new(StringViewArray::from(vec!["x", "y"]))),
            ("nothing", Arc::new(NullArray::new(2))),
        ]);
        let plain = normalise_batch(&given).unwrap();
        let types: Vec<_> = plain.schema().fields().iter().map(|f| f.data_type().clone()).collect();
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(types, [DataType::Int16, instant, DataType::Utf8, DataType::Utf8, DataType::Utf8]);
        assert_eq!(normalise_batch(&plain).unwrap(), plain);
    }

    #[test]
    fn lists_and_structs_keep_their_shape() {
        let item = Arc::new(Field::new("item", DataType::UInt16, true));
        let pair = DataType::Struct(vec![Field::new("a", DataType::LargeUtf8, false)].into());
        let schema =
            Schema::new(vec![Field::new("l", DataType::LargeList(item), false), Field::new("s", pair, true)]);
        let stored = normalise_schema(&schema).unwrap();
        assert_eq!(normalise_schema(&stored).unwrap(), stored);
        let empty = RecordBatch::new_empty(Arc::new(schema));
        assert_eq!(normalise_batch(&empty).unwrap().schema(), stored);
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused() {
        let given = batch(vec![("n", Arc::new(UInt64Array::from(vec![u64::MAX])))]);
        assert!(matches!(normalise_batch(&given), Err(Error::Unsupported(_))));
    }
}
