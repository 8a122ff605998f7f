//! Rows in the shape of their table: columns by name, in the table's order, of its types.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::Error;

/// The table's columns after rows of schema `new` came: those it has, then those that are new. A column that is there keeps its type.
pub fn widened(table: &SchemaRef, new: &Schema) -> SchemaRef {
    let extra: Vec<_> =
        new.fields().iter().filter(|field| table.column_with_name(field.name()).is_none()).cloned().collect();
    if extra.is_empty() {
        return Arc::clone(table);
    }
    Arc::new(Schema::new(table.fields().iter().cloned().chain(extra).collect::<Vec<_>>()))
}

/// Whether a column of both is of another type in `new`.
pub fn retypes(table: &Schema, new: &Schema) -> bool {
    let same = |field: &Arc<Field>| {
        new.field_with_name(field.name()).map_or(true, |wide| wide.data_type() == field.data_type())
    };
    !table.fields().iter().all(same)
}

/// `batch` with the columns of `schema`; an absent column is null. Errors: [`Error::Schema`] for a value that does not fit its column.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let column = |field: &Arc<arrow::datatypes::Field>| -> Result<ArrayRef, Error> {
        match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(column) => cast_with_options(column, field.data_type(), &strict)
                .map_err(|error| Error::Schema(format!("column {}: {error}", field.name()))),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Int32Array, Int64Array, StringArray};
    use arrow::datatypes::DataType;

    fn table() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8, true),
        ]))
    }

    #[test]
    fn columns_go_by_name_and_absent_ones_are_null() {
        let batch = RecordBatch::try_from_iter([
            ("c", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
            ("a", Arc::new(Int32Array::from(vec![7]))),
        ])
        .unwrap();
        let schema = widened(&table(), batch.schema_ref());
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let shaped = conform(&batch, &schema).unwrap();
        assert_eq!(shaped.column(0).as_ref(), &Int64Array::from(vec![7]) as &dyn Array);
        assert_eq!(shaped.column(1).null_count(), 1);
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused() {
        let batch =
            RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]).unwrap();
        assert!(matches!(conform(&batch, &table()), Err(Error::Schema(_))));
    }
}
