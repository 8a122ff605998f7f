//! Keys of rows as comparable bytes: which rows are told apart, which ones are replaced.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};

use super::Error;

/// Reads the key of rows of one schema.
pub struct KeyReader {
    columns: Vec<String>,
    converter: RowConverter,
}

impl KeyReader {
    /// Errors: [`Error::Schema`] where a key column is not there.
    pub fn new(schema: &Schema, key: &[String]) -> Result<Self, Error> {
        let field = |name: &String| match schema.field_with_name(name) {
            Ok(field) => Ok(SortField::new(field.data_type().clone())),
            Err(_) => Err(Error::Schema(format!("there is no key column {name}"))),
        };
        let fields = key.iter().map(field).collect::<Result<_, _>>()?;
        Ok(Self { columns: key.to_vec(), converter: RowConverter::new(fields)? })
    }

    fn arrays(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, Error> {
        let array = |name: &String| batch.column_by_name(name).cloned();
        let found: Option<Vec<_>> = self.columns.iter().map(array).collect();
        found.ok_or_else(|| Error::Schema("a key column is missing".to_owned()))
    }

    fn rows(&self, batch: &RecordBatch) -> Result<Rows, Error> {
        Ok(self.converter.convert_columns(&self.arrays(batch)?)?)
    }

    fn refuse_nulls(&self, batch: &RecordBatch) -> Result<(), Error> {
        let nulls = self.arrays(batch)?.iter().any(|array| array.logical_null_count() > 0);
        match nulls {
            true => Err(Error::Key { key: self.columns.join(", "), reason: "is null in a row" }),
            false => Ok(()),
        }
    }

    /// One batch in which each key stands once: its last row, at the place of that row.
    /// Errors: [`Error::Key`] for a null, and for a second row of a key where `unique`.
    pub fn last_of_each(
        &self,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        unique: bool,
    ) -> Result<RecordBatch, Error> {
        let all = concat_batches(schema, batches)?;
        self.refuse_nulls(&all)?;
        let rows = self.rows(&all)?;
        let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(all.num_rows());
        for row in 0..all.num_rows() {
            last.insert(rows.row(row).data(), row);
        }
        if last.len() == all.num_rows() {
            return Ok(all);
        }
        if unique {
            return Err(Error::Key {
                key: self.columns.join(", "),
                reason: "stands in more than one of the new rows",
            });
        }
        let mut kept: Vec<u64> = last.into_values().map(|row| row as u64).collect();
        kept.sort_unstable();
        Ok(take_record_batch(&all, &UInt64Array::from(kept))?)
    }

    /// The keys of these rows.
    pub fn set(&self, batches: &[RecordBatch]) -> Result<KeySet, Error> {
        let mut set = HashSet::new();
        for batch in batches {
            self.refuse_nulls(batch)?;
            let rows = self.rows(batch)?;
            set.extend(rows.iter().map(|row| Box::<[u8]>::from(row.data())));
        }
        Ok(KeySet(set))
    }

    /// Which rows of `batch` have a key that is not in `set`.
    pub fn outside(&self, batch: &RecordBatch, set: &KeySet) -> Result<BooleanArray, Error> {
        let rows = self.rows(batch)?;
        Ok(rows.iter().map(|row| Some(!set.0.contains(row.data()))).collect())
    }
}

/// Keys of some rows.
#[derive(Debug, Default)]
pub struct KeySet(HashSet<Box<[u8]>>);

impl KeySet {
    /// Adds the keys of `batch`; stops at the first row whose key is there already, and gives it.
    pub fn add(&mut self, reader: &KeyReader, batch: &RecordBatch) -> Result<Option<usize>, Error> {
        let rows = reader.rows(batch)?;
        Ok(rows.iter().position(|row| !self.0.insert(row.data().into())))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    fn batch(rows: &[(&str, i64, i64)]) -> RecordBatch {
        let text: StringArray = rows.iter().map(|(text, ..)| Some(*text)).collect();
        let day: Int64Array = rows.iter().map(|(_, day, _)| Some(*day)).collect();
        let value: Int64Array = rows.iter().map(|(.., value)| Some(*value)).collect();
        RecordBatch::try_from_iter([
            ("r", Arc::new(text) as ArrayRef),
            ("d", Arc::new(day)),
            ("v", Arc::new(value)),
        ])
        .unwrap()
    }

    fn reader(of: &RecordBatch) -> KeyReader {
        KeyReader::new(of.schema_ref(), &["r".into(), "d".into()]).unwrap()
    }

    #[test]
    fn the_last_row_of_a_key_wins() {
        let (one, two) = (batch(&[("a", 1, 10), ("b", 1, 20)]), batch(&[("a", 1, 30), ("a", 2, 40)]));
        let kept = reader(&one).last_of_each(&one.schema(), &[one.clone(), two], false).unwrap();
        assert_eq!(kept.column(2).as_primitive::<Int64Type>().values(), &[20, 30, 40]);
    }

    #[test]
    fn a_unique_write_refuses_a_second_row_and_every_write_a_null() {
        let twice = batch(&[("a", 1, 10), ("a", 1, 10)]);
        let refused = reader(&twice).last_of_each(&twice.schema(), std::slice::from_ref(&twice), true);
        assert!(matches!(refused, Err(Error::Key { .. })));
        let null = RecordBatch::try_from_iter([
            ("r", Arc::new(StringArray::from(vec![None::<&str>])) as ArrayRef),
            ("d", Arc::new(Int64Array::from(vec![1]))),
        ])
        .unwrap();
        assert!(matches!(reader(&null).set(std::slice::from_ref(&null)), Err(Error::Key { .. })));
    }

    #[test]
    fn keys_do_not_run_into_each_other() {
        let set = reader(&batch(&[])).set(&[batch(&[("a", 12, 0)])]).unwrap();
        let outside = reader(&batch(&[])).outside(&batch(&[("a1", 2, 0), ("a", 12, 5)]), &set).unwrap();
        assert_eq!(outside.values().iter().collect::<Vec<_>>(), [true, false]);
    }
}
