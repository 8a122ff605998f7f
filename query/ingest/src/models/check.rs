//! A model's tests over its new rows, before anybody sees them.

use std::collections::HashSet;
use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};

use super::Model;

/// Which test a model's rows break, and with what.
#[derive(Clone, Debug, PartialEq)]
pub enum Broken {
    NotNull {
        column: String,
        rows: usize,
    },
    Accepted {
        column: String,
        value: String,
    },
    Between {
        column: String,
        value: f64,
    },
    Unique {
        key: Vec<String>,
    },
    /// The rows cannot be tested at all.
    Untestable {
        reason: String,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNull { column, rows } => write!(f, "`{column}` is null in {rows} rows"),
            Self::Accepted { column, value } => write!(f, "`{column}` has the unexpected value `{value}`"),
            Self::Between { column, value } => write!(f, "`{column}` has {value}, which is out of range"),
            Self::Unique { key } => write!(f, "two rows have the same {}", key.join(", ")),
            Self::Untestable { reason } => write!(f, "the rows cannot be tested: {reason}"),
        }
    }
}

impl From<ArrowError> for Broken {
    fn from(error: ArrowError) -> Self {
        Self::Untestable { reason: error.to_string() }
    }
}

impl Model {
    /// Runs every test of the header, and that the key is unique, over rows of the table's schema.
    /// - Errors: the first broken one.
    pub fn test(&self, batches: &[RecordBatch]) -> Result<(), Broken> {
        for batch in batches {
            self.test_columns(batch)?;
        }
        unique(&self.key, batches)
    }

    fn test_columns(&self, batch: &RecordBatch) -> Result<(), Broken> {
        for column in &self.tests.not_null {
            let rows = values(batch, column)?.null_count();
            if rows > 0 {
                return Err(Broken::NotNull { column: column.clone(), rows });
            }
        }
        for (column, accepted) in &self.tests.accepted {
            let texts = cast(values(batch, column)?, &DataType::Utf8)?;
            let strange = |text: &&str| !accepted.iter().any(|a| a == text);
            if let Some(value) = texts.as_string::<i32>().iter().flatten().find(strange) {
                return Err(Broken::Accepted { column: column.clone(), value: value.to_string() });
            }
        }
        for (column, [low, high]) in &self.tests.between {
            let numbers = cast(values(batch, column)?, &DataType::Float64)?;
            let strange = |v: &f64| !(low..=high).contains(&v);
            if let Some(value) = numbers.as_primitive::<Float64Type>().iter().flatten().find(strange) {
                return Err(Broken::Between { column: column.clone(), value });
            }
        }
        Ok(())
    }
}

fn values<'a>(batch: &'a RecordBatch, column: &str) -> Result<&'a arrow::array::ArrayRef, Broken> {
    let reason = || Broken::Untestable { reason: format!("no column `{column}`") };
    batch.column_by_name(column).ok_or_else(reason)
}

/// The key's columns have no two equal rows.
fn unique(key: &[String], batches: &[RecordBatch]) -> Result<(), Broken> {
    let Some(first) = batches.first() else { return Ok(()) };
    let fields = key.iter().map(|c| Ok(SortField::new(values(first, c)?.data_type().clone())));
    let converter = RowConverter::new(fields.collect::<Result<Vec<_>, Broken>>()?)?;
    let mut seen: HashSet<OwnedRow> = HashSet::new();
    for batch in batches {
        let columns = key.iter().map(|c| values(batch, c).cloned()).collect::<Result<Vec<_>, _>>()?;
        for row in converter.convert_columns(&columns)?.iter() {
            if !seen.insert(row.owned()) {
                return Err(Broken::Unique { key: key.to_vec() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn model() -> Model {
        let text = "/*---\ntable = \"a.b\"\nkey = [\"region_id\"]\nwindow = \"region\"\n[tests]\nnot_null = [\"region_id\"]\n\
                    accepted = { origin = [\"hours\"] }\nbetween = { hours = [0, 25] }\n---*/\nSELECT 1";
        Model::parse("m.sql", text).unwrap()
    }

    fn rows(regions: &[Option<&str>], origin: &str, hours: i64) -> RecordBatch {
        let n = regions.len();
        RecordBatch::try_from_iter_with_nullable([
            ("region_id", Arc::new(StringArray::from(regions.to_vec())) as Arc<dyn Array>, true),
            ("origin", Arc::new(StringArray::from(vec![origin; n])), true),
            ("hours", Arc::new(Int64Array::from(vec![hours; n])), true),
        ])
        .unwrap()
    }

    #[test]
    fn good_rows_pass() {
        assert_eq!(
            model().test(&[rows(&[Some("a"), Some("b")], "hours", 24), rows(&[Some("c")], "hours", 0)]),
            Ok(())
        );
        assert_eq!(model().test(&[]), Ok(()));
    }

    #[test]
    fn each_test_can_break() {
        let broken = |batch| model().test(&[batch]).unwrap_err();
        assert!(matches!(broken(rows(&[None], "hours", 1)), Broken::NotNull { rows: 1, .. }));
        assert!(matches!(broken(rows(&[Some("a")], "guess", 1)), Broken::Accepted { .. }));
        assert!(matches!(broken(rows(&[Some("a")], "hours", 26)), Broken::Between { .. }));
        assert!(matches!(broken(rows(&[Some("a"), Some("a")], "hours", 1)), Broken::Unique { .. }));
    }
}
