//! A model's tests that need nothing but its new rows.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use arrow::row::{Row, RowConverter, SortField};
use arrow::util::display::array_value_to_string;

use super::Model;
use super::tests::{RowCount, Verdict};

impl Model {
    /// Runs every test of the header that looks at the new rows alone, and that the key is unique.
    /// - Shape: one verdict a test and column.
    /// - Errors: the rows have not the columns or types that the tests need.
    pub fn judge(&self, batches: &[RecordBatch]) -> Result<Vec<Verdict>, ArrowError> {
        let mut verdicts = vec![Verdict::of("unique", &self.key, unique(&self.key, batches)?)];
        for column in &self.tests.not_null {
            verdicts.push(Verdict::of("not_null", [column], nulls(column, batches)?));
        }
        for (column, accepted) in &self.tests.accepted {
            verdicts.push(Verdict::of("accepted", [column], strange(column, accepted, batches)?));
        }
        for (column, bounds) in &self.tests.between {
            verdicts.push(Verdict::of("between", [column], outside(column, *bounds, batches)?));
        }
        for column in &self.tests.unique {
            let broken = unique(std::slice::from_ref(column), batches)?;
            verdicts.push(Verdict::of("unique", [column], broken));
        }
        if let Some(count) = self.tests.row_count {
            verdicts.push(Verdict::of("row_count", [""; 0], self.miscounted(count, batches)?));
        }
        Ok(verdicts)
    }

    /// The first partition with too few rows or too many.
    fn miscounted(&self, count: RowCount, batches: &[RecordBatch]) -> Result<Option<String>, ArrowError> {
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        for batch in batches {
            let columns = ["region_id"].into_iter().chain(self.window.date()).map(|c| values(batch, c));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let texts = columns.iter().map(|c| array_value_to_string(c, row));
                *rows.entry(texts.collect::<Result<Vec<_>, _>>()?.join(", ")).or_default() += 1;
            }
        }
        let wrong = |n: u64| count.least.is_some_and(|l| n < l) || count.most.is_some_and(|m| n > m);
        let found = rows.into_iter().find(|(_, n)| wrong(*n));
        Ok(found.map(|(partition, n)| format!("{partition} has {n} rows")))
    }
}

fn values<'a>(batch: &'a RecordBatch, column: &str) -> Result<&'a ArrayRef, ArrowError> {
    batch
        .column_by_name(column)
        .ok_or_else(|| ArrowError::SchemaError(format!("the rows have no column `{column}`")))
}

fn nulls(column: &str, batches: &[RecordBatch]) -> Result<Option<String>, ArrowError> {
    let counts = batches.iter().map(|batch| Ok(values(batch, column)?.null_count()));
    let rows = counts.sum::<Result<usize, ArrowError>>()?;
    Ok((rows > 0).then(|| format!("`{column}` is null in {rows} rows")))
}

fn strange(column: &str, accepted: &[String], batches: &[RecordBatch]) -> Result<Option<String>, ArrowError> {
    for batch in batches {
        let texts = cast(values(batch, column)?, &DataType::Utf8)?;
        let strange = |text: &&str| !accepted.iter().any(|a| a == text);
        if let Some(value) = texts.as_string::<i32>().iter().flatten().find(strange) {
            return Ok(Some(format!("`{column}` has the unexpected value `{value}`")));
        }
    }
    Ok(None)
}

fn outside(
    column: &str,
    [low, high]: [f64; 2],
    batches: &[RecordBatch],
) -> Result<Option<String>, ArrowError> {
    for batch in batches {
        let numbers = cast(values(batch, column)?, &DataType::Float64)?;
        let strange = |v: &f64| !(low..=high).contains(v);
        if let Some(value) = numbers.as_primitive::<Float64Type>().iter().flatten().find(strange) {
            return Ok(Some(format!("`{column}` has {value}, which is not from {low} to {high}")));
        }
    }
    Ok(None)
}

/// The first value of these columns that two rows have; a null is no value. Rows mostly come in the order of their key, where
/// equal ones are neighbours; only others are remembered.
fn unique(columns: &[String], batches: &[RecordBatch]) -> Result<Option<String>, ArrowError> {
    let Some(first) = batches.first() else { return Ok(None) };
    let fields = columns.iter().map(|c| Ok(SortField::new(values(first, c)?.data_type().clone())));
    let converter = RowConverter::new(fields.collect::<Result<Vec<_>, ArrowError>>()?)?;
    let mut parts = Vec::with_capacity(batches.len());
    for batch in batches {
        let arrays = columns.iter().map(|c| values(batch, c).cloned()).collect::<Result<Vec<_>, _>>()?;
        parts.push((converter.convert_columns(&arrays)?, arrays));
    }
    let rows = || {
        parts.iter().flat_map(|(rows, arrays)| rows.iter().enumerate().map(move |(n, row)| (arrays, n, row)))
    };
    if rows().zip(rows().skip(1)).all(|(one, next)| one.2 < next.2) {
        return Ok(None);
    }
    let mut seen: HashSet<Row<'_>> = HashSet::new();
    let twice = rows().find(|(arrays, n, row)| arrays.iter().all(|a| a.is_valid(*n)) && !seen.insert(*row));
    let Some((arrays, n, _)) = twice else { return Ok(None) };
    let texts = arrays.iter().map(|a| array_value_to_string(a, n)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(format!("two rows have the same {}: {}", columns.join(", "), texts.join(", "))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::super::tests::broken;
    use super::*;

    fn model() -> Model {
        let text = "/*---\ntable = \"a.b\"\nkey = [\"region_id\", \"n\"]\nwindow = \"region\"\n[tests]\nnot_null = [\"region_id\"]\n\
                    unique = [\"n\"]\nrow_count = { least = 1, most = 2 }\n\
                    accepted = { origin = [\"hours\"] }\nbetween = { hours = [0, 25] }\n---*/\nSELECT 1";
        Model::parse("m.sql", text).unwrap()
    }

    fn rows(regions: &[(Option<&str>, i64)], origin: &str, hours: i64) -> RecordBatch {
        let n = regions.len();
        RecordBatch::try_from_iter_with_nullable([
            (
                "region_id",
                Arc::new(StringArray::from_iter(regions.iter().map(|r| r.0))) as Arc<dyn Array>,
                true,
            ),
            ("n", Arc::new(Int64Array::from_iter_values(regions.iter().map(|r| r.1))), true),
            ("origin", Arc::new(StringArray::from(vec![origin; n])), true),
            ("hours", Arc::new(Int64Array::from(vec![hours; n])), true),
        ])
        .unwrap()
    }

    #[test]
    fn good_rows_pass_every_test() {
        let good =
            [rows(&[(Some("a"), 1), (Some("b"), 2)], "hours", 24), rows(&[(Some("c"), 3)], "hours", 0)];
        let verdicts = model().judge(&good).unwrap();
        assert_eq!(verdicts.len(), 6);
        assert!(verdicts.iter().all(|v| v.passed), "{verdicts:?}");
        assert_eq!(broken(&model().judge(&[]).unwrap()), None);
    }

    #[test]
    fn each_test_can_break_and_tells_the_value() {
        let many = [(Some("a"), 1), (Some("a"), 2), (Some("a"), 3)];
        for (batch, words) in [
            (rows(&[(None, 1)], "hours", 1), "`region_id` is null in 1 rows"),
            (rows(&[(Some("a"), 1)], "guess", 1), "unexpected value `guess`"),
            (rows(&[(Some("a"), 1)], "hours", 26), "`hours` has 26, which is not from 0 to 25"),
            (rows(&[(Some("a"), 1), (Some("a"), 1)], "hours", 1), "the same region_id, n: a, 1"),
            (rows(&[(Some("a"), 1), (Some("b"), 1)], "hours", 1), "the same n: 1"),
            (rows(&many, "hours", 1), "a has 3 rows"),
        ] {
            let verdicts = model().judge(&[batch]).unwrap();
            assert!(broken(&verdicts).unwrap().contains(words), "{verdicts:?}");
        }
    }
}
