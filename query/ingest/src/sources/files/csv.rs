//! A CSV file as rows of its table: columns by name, types as declared, nothing guessed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, RecordBatch, TimestampMicrosecondArray, new_null_array,
};
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Date32Type, Field, Schema};
use chrono::{DateTime, NaiveDate, Utc};
use identity::RegionId;

use crate::lakefile::TableSpec;
use crate::sources::{SourceError, Touched, days_since_epoch};

/// The column `ingested_at` is never in a file: it is when the file came.
const INGESTED_AT: &str = "ingested_at";
const ROWS_PER_BATCH: usize = 65_536;

/// How rows without a date of their own are dated.
pub struct Dating {
    pub column: String,
    pub day: NaiveDate,
}

/// The rows of a file and what they touch.
/// - Errors: [`SourceError::Refused`] for a column the table does not have or a row without its key;
///   [`SourceError::Rows`] for a value of another type, with its line.
pub fn read(
    bytes: &[u8],
    table: &TableSpec,
    dating: &Dating,
    came: DateTime<Utc>,
) -> Result<(Vec<RecordBatch>, Touched), SourceError> {
    let given = header(bytes, table)?;
    let reader = ReaderBuilder::new(Arc::new(given)).with_header(true).with_batch_size(ROWS_PER_BATCH);
    let (mut batches, mut touched) = (Vec::new(), Touched::default());
    for batch in reader.build(bytes)? {
        let batch = complete(&batch?, table, dating, came)?;
        touch(&batch, &dating.column, &mut touched)?;
        batches.push(batch);
    }
    Ok((batches, touched))
}

/// The file's columns with the types that the table declares for them.
fn header(bytes: &[u8], table: &TableSpec) -> Result<Schema, SourceError> {
    let mut reader = csv::Reader::from_reader(bytes);
    let names = reader.headers().map_err(|e| SourceError::refused(format!("no header: {e}")))?;
    if names.is_empty() {
        return Err(SourceError::refused("no header"));
    }
    let field = |name: &str| -> Result<Field, SourceError> {
        let name = name.trim().trim_start_matches('\u{feff}');
        let column = table.columns.iter().find(|c| c.name == name && c.name != INGESTED_AT);
        let column =
            column.ok_or_else(|| SourceError::refused(format!("`{name}` is no column of {}", table.name)))?;
        Ok(Field::new(name, column.r#type.arrow(), true))
    };
    Ok(Schema::new(names.iter().map(field).collect::<Result<Vec<_>, _>>()?))
}

/// The table's columns in its order: those of the file, the date, the time of arrival, and nulls for the rest.
fn complete(
    batch: &RecordBatch,
    table: &TableSpec,
    dating: &Dating,
    came: DateTime<Utc>,
) -> Result<RecordBatch, SourceError> {
    let rows = batch.num_rows();
    let columns = table.columns.iter().map(|column| -> ArrayRef {
        match batch.column_by_name(&column.name) {
            Some(given) => Arc::clone(given),
            None if column.name == dating.column => {
                Arc::new(Date32Array::from(vec![days_since_epoch(dating.day); rows]))
            }
            None if column.name == INGESTED_AT => {
                let micros = vec![came.timestamp_micros(); rows];
                Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
            }
            None => new_null_array(&column.r#type.arrow(), rows),
        }
    });
    // The schema refuses a null in a key column.
    Ok(RecordBatch::try_new(table.schema(), columns.collect())?)
}

fn touch(batch: &RecordBatch, dated: &str, touched: &mut Touched) -> Result<(), SourceError> {
    let column = |name: &str, r#type: DataType| {
        let found = batch.column_by_name(name).filter(|c| c.data_type() == &r#type);
        found.ok_or_else(|| SourceError::refused(format!("the table has no column `{name}` of type {type}")))
    };
    let regions = column("region_id", DataType::Utf8)?.as_string::<i32>();
    let days = column(dated, DataType::Date32)?.as_primitive::<Date32Type>();
    let mut last: Option<RegionId> = None;
    for row in 0..batch.num_rows() {
        let name = regions.value(row);
        if last.as_ref().is_none_or(|r| r.as_str() != name) {
            last = Some(RegionId::parse(name).map_err(|e| SourceError::refused(e.to_string()))?);
        }
        if let (Some(region), Some(day)) = (&last, days.value_as_date(row)) {
            touched.add(region, day);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefile::Lakefile;

    fn activity(text: &str) -> Result<(Vec<RecordBatch>, Touched), SourceError> {
        let lakefile = Lakefile::builtin().unwrap();
        let table = lakefile.table(&"source_a.activity".parse().unwrap()).unwrap();
        let dating = Dating { column: "day".into(), day: "2021-10-01".parse().unwrap() };
        read(text.as_bytes(), table, &dating, "2021-10-04T06:00:00Z".parse().unwrap())
    }

    #[test]
    fn rows_without_a_date_have_the_files() {
        let (rows, touched) =
            activity("region_id,visits,activity_index\nit-lazio,12,99.5\nit-sicilia,,\n").unwrap();
        assert_eq!((rows[0].num_rows(), rows[0].num_columns()), (2, 5));
        let days = rows[0].column(1).as_primitive::<Date32Type>();
        assert_eq!(days.value_as_date(0).unwrap().to_string(), "2021-10-01");
        assert!(rows[0].column(3).is_null(1));
        assert_eq!(touched.len(), 2);
    }

    #[test]
    fn a_date_of_their_own_comes_first() {
        let (rows, _) = activity("day,region_id,visits\n2020-02-29,it-lazio,1\n").unwrap();
        assert_eq!(
            rows[0].column(1).as_primitive::<Date32Type>().value_as_date(0).unwrap().to_string(),
            "2020-02-29"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (text, reason) in [
            ("region_id,visitors\nit-lazio,1\n", "`visitors` is no column"),
            ("region_id,visits\nit-lazio,many\n", "many"),
            ("visits\n1\n", "region_id"),
            ("region_id,visits\n../x,1\n", "region"),
            ("region_id,visits\nit-lazio,1,2\n", "expected 2 got 3"),
            ("", "no header"),
        ] {
            let refused = activity(text).unwrap_err();
            let told =
                format!("{refused} {:?}", std::error::Error::source(&refused).map(ToString::to_string));
            assert!(told.contains(reason), "{text}: {told}");
        }
    }
}
