//! Columns that widen with what comes: whole numbers become fractions, and anything becomes text, where no value is lost.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use catalog::Column;
use datafusion::scalar::ScalarValue;
use lake::Snapshot;

use super::Error;
use super::conform::widened;
use super::incoming::Incoming;
use crate::upload::decode::types::Type;

/// Whole numbers up to here are fractions too, exactly.
const EXACT: i64 = 1 << 53;
/// The most columns that a table may come to have.
const COLUMNS: usize = 2_000;

/// The table's columns after these rows came: each of a type that holds the values of both, then those that are new.
/// - Errors: [`Error::Schema`] where there would be too many.
pub(super) fn joined(snapshot: &Snapshot, incoming: &Incoming) -> Result<SchemaRef, Error> {
    let (table, new) = (snapshot.schema(), incoming.schema());
    let wide = |field: &Arc<Field>| match new.field_with_name(field.name()) {
        Ok(other) if other.data_type() != field.data_type() => {
            let of =
                wider(field.data_type(), other.data_type(), || is_exact(field.name(), snapshot, incoming));
            Arc::new(Field::clone(field).with_data_type(of))
        }
        _ => Arc::clone(field),
    };
    let table = Arc::new(Schema::new(table.fields().iter().map(wide).collect::<Vec<_>>()));
    let schema = widened(&table, new);
    match schema.fields().len() > COLUMNS {
        true => Err(Error::Schema(format!("the table would have more than {COLUMNS} columns"))),
        false => Ok(schema),
    }
}

/// A type for the values of two others. `exact`: whether the whole numbers among them are fractions without loss.
fn wider(one: &DataType, other: &DataType, exact: impl Fn() -> bool) -> DataType {
    match (one, other) {
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) if exact() => {
            DataType::Float64
        }
        _ => DataType::Utf8,
    }
}

/// Whether all whole numbers of a column, those of the table's files and those that come, are fractions without loss.
fn is_exact(column: &str, snapshot: &Snapshot, incoming: &Incoming) -> bool {
    let within = |value: Option<i64>| value.is_none_or(|value| (-EXACT..=EXACT).contains(&value));
    let bound = |value: Option<ScalarValue>| match value {
        Some(ScalarValue::Int64(value)) => within(value),
        _ => true,
    };
    let stored = snapshot
        .files()
        .iter()
        .all(|file| bound(file.min(column, &DataType::Int64)) && bound(file.max(column, &DataType::Int64)));
    let Incoming::Memory(_, batches) = incoming else { return stored };
    let columns = batches.iter().filter_map(|batch| batch.column_by_name(column));
    let mut whole = columns.filter(|array| array.data_type() == &DataType::Int64);
    stored
        && whole.all(|array| {
            let values = array.as_primitive::<Int64Type>();
            within(min(values)) && within(max(values))
        })
}

/// The columns as the catalog is to show them: those it knows, of their new types, and those that are new.
pub(super) fn described(known: &[Column], schema: &Schema) -> Vec<Column> {
    let name =
        |field: &Field| Type::of_arrow(field.data_type()).map_or("text".to_owned(), |of| of.to_string());
    let retyped = |column: &Column| match schema.field_with_name(&column.name) {
        Ok(field) => Column { r#type: name(field), ..column.clone() },
        Err(_) => column.clone(),
    };
    let is_new = |field: &&Arc<Field>| !known.iter().any(|column| column.name == *field.name());
    let new = schema.fields().iter().filter(is_new).map(|field| Column {
        name: field.name().clone(),
        r#type: name(field),
        description: Some("came with a file; the lake's definition does not name it".to_owned()),
        ..Column::default()
    });
    known.iter().map(retyped).chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_becomes_the_next_that_holds_both() {
        let wide = |one, other, exact: bool| wider(&one, &other, || exact);
        assert_eq!(wide(DataType::Int64, DataType::Float64, true), DataType::Float64);
        assert_eq!(wide(DataType::Float64, DataType::Int64, true), DataType::Float64);
        assert_eq!(wide(DataType::Int64, DataType::Float64, false), DataType::Utf8);
        assert_eq!(wide(DataType::Date32, DataType::Int64, true), DataType::Utf8);
        assert_eq!(wide(DataType::Boolean, DataType::Utf8, true), DataType::Utf8);
    }

    #[test]
    fn the_catalog_keeps_what_it_knows_of_a_column() {
        let known = vec![Column::new("visits", "bigint").in_unit("1"), Column::new("note", "text")];
        let fields = [("visits", DataType::Float64), ("note", DataType::Utf8), ("shops", DataType::Int64)];
        let schema = Schema::new(fields.map(|(name, of)| Field::new(name, of, true)).to_vec());
        let told = described(&known, &schema);
        let types: Vec<_> = told.iter().map(|column| column.r#type.as_str()).collect();
        assert_eq!(types, ["double", "text", "bigint"]);
        assert_eq!(told[0].unit.as_deref(), Some("1"));
        assert!(told[2].description.is_some());
    }
}
