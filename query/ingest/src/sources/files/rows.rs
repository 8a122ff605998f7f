//! From a converted file to rows of its table: dated, in the table's units, with the time the file came.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use identity::RegionId;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::nested::Nested;
use crate::lakefile::{ColumnSpec, ColumnType, JsonPath, TableSpec};
use crate::sources::weather::Conversion;
use crate::sources::workers::{Decoding, Unfit};
use crate::sources::{Atlas, SourceError, Touched, days_since_epoch};
use crate::upload::OnBadRows;
use crate::upload::decode::request::{
    DecodeCaps, DecodeRequest, Decoded, DecodedColumn, TableColumn, UnknownColumns,
};
use crate::upload::decode::types::Type;

/// The column `ingested_at` is never in a file: it is when the file came.
const INGESTED_AT: &str = "ingested_at";
/// Memory that the rows of one file may take.
const ROWS_BYTES: usize = 2 << 30;

/// Rows and what they touch.
pub type Rows = (Vec<RecordBatch>, Touched);

/// How rows without a date of their own are dated.
#[derive(Clone, Debug)]
pub struct Dating {
    pub column: String,
    pub day: NaiveDate,
}

/// How one file becomes rows of its table.
pub struct Fitting<'a> {
    pub table: &'a TableSpec,
    pub units: &'a BTreeMap<String, Conversion>,
    pub dating: Dating,
    /// Where columns of the table lie that are not the files' columns of that name.
    pub paths: &'a BTreeMap<String, JsonPath>,
    /// Columns too many become columns of the table, columns too few are null.
    pub widens: bool,
    /// When the file came.
    pub came: DateTime<Utc>,
    /// What regions are called.
    pub atlas: &'a Atlas,
    /// Whether the file was taken before: no region of it is refused then.
    pub again: bool,
}

impl Fitting<'_> {
    /// What a worker is asked to make of the file.
    pub fn request(&self, name: &str) -> DecodeRequest {
        let column = |c: &ColumnSpec| TableColumn { name: c.name.clone(), of: type_of(c.r#type) };
        let given =
            self.table.columns.iter().filter(|c| c.name != INGESTED_AT && !self.paths.contains_key(&c.name));
        let mut table: Vec<TableColumn> = given.map(column).collect();
        for (name, path) in self.paths {
            if !table.iter().any(|column| column.name == path.root) {
                table.push(TableColumn { name: path.root.clone(), of: self.type_at(name, path) });
            }
        }
        DecodeRequest {
            op: "decode".to_owned(),
            file_name: Some(name.rsplit('/').next().unwrap_or(name).to_owned()),
            format: None,
            types: BTreeMap::new(),
            decimal: None,
            on_bad_rows: OnBadRows::Fail,
            table: Some(table),
            unknown: if self.widens { UnknownColumns::Keep } else { UnknownColumns::Refuse },
            instants_as_dates: true,
            key: Vec::new(),
            existing: Vec::new(),
            caps: DecodeCaps::default(),
        }
    }

    /// How the file's column at a path is read: as what it becomes, or as the text of nested values that it holds.
    fn type_at(&self, name: &str, path: &JsonPath) -> Type {
        let nested = self.paths.values().any(|other| other.root == path.root && !other.is_flat());
        let column = self.table.columns.iter().find(|column| column.name == name && !nested);
        column.map_or(Type::Text, |column| type_of(column.r#type))
    }

    /// Whether this column of the file dates its rows and is nothing else: then a file may be without it.
    fn only_dates(&self, name: &str) -> bool {
        let date = &self.dating.column;
        let is_date = self.paths.get(date).map_or(date, |path| &path.root) == name;
        let of_table = self.table.columns.iter().any(|column| column.name == name && &column.name != date);
        is_date && !of_table && !self.paths.iter().any(|(other, path)| other != date && path.root == name)
    }

    /// The rows of a converted file.
    /// - Errors: [`Unfit::File`] for a column too few, a row without its key or with a text that names no region.
    pub async fn rows(&self, source: &str, name: &str, decoding: Decoding) -> Result<Rows, Unfit> {
        let columns = &decoding.decoded.columns;
        let mut absent: Vec<String> = columns.iter().filter(|c| c.absent).map(|c| c.name.clone()).collect();
        let dates = self.paths.get(&self.dating.column).map_or(&self.dating.column, |path| &path.root);
        let own_dates = !absent.contains(dates);
        absent.retain(|name| !self.only_dates(name));
        if !absent.is_empty() && !self.widens {
            return Err(Unfit::File(format!("the file has no column {}", listed(&absent))));
        }
        let schema = self.widened(&decoding.decoded);
        let new = &schema.fields()[self.table.columns.len()..];
        if !new.is_empty() || !absent.is_empty() {
            let new = listed(&new.iter().map(|field| field.name().clone()).collect::<Vec<_>>());
            tracing::warn!(source, file = name, new, absent = listed(&absent), "columns drift");
        }
        let (files, expected) = (decoding.files()?, decoding.decoded.rows);
        let read = tokio::task::spawn_blocking(move || read(&files)).await;
        let read = read.map_err(|e| lost(&e))??;
        drop(decoding);
        if read.iter().map(|batch| batch.num_rows() as u64).sum::<u64>() != expected {
            return Err(Unfit::File("its conversion lost rows".to_owned()));
        }
        let (mut rows, mut touched) = (Vec::with_capacity(read.len()), Touched::default());
        for batch in read {
            let batch = self.complete(&schema, &batch, own_dates).map_err(|e| Unfit::File(e.to_string()))?;
            let batch = self.placed(batch)?;
            self.touch(&batch, &mut touched)?;
            rows.push(batch);
        }
        Ok((rows, touched))
    }

    /// The table's columns, and behind them those of the file that it lacks: each of the type that fits all its values. One
    /// without any value has no type, and is left.
    fn widened(&self, decoded: &Decoded) -> SchemaRef {
        let is_new = |column: &&DecodedColumn| {
            decoded.beyond.contains(&column.name)
                && column.nulls < decoded.rows
                && !self.table.columns.iter().any(|known| known.name == column.name)
        };
        let new = decoded.columns.iter().filter(is_new);
        let new = new.map(|column| Arc::new(Field::new(&column.name, column.of.arrow(), true)));
        let declared = self.table.schema();
        Arc::new(Schema::new(declared.fields().iter().cloned().chain(new).collect::<Vec<_>>()))
    }

    /// These columns in their order: those of the file, or nulls, the date, and the time of arrival.
    fn complete(
        &self,
        schema: &SchemaRef,
        batch: &RecordBatch,
        own_dates: bool,
    ) -> Result<RecordBatch, ArrowError> {
        let rows = batch.num_rows();
        let mut nested = Nested::default();
        let mut column = |field: &Arc<Field>| -> Result<ArrayRef, ArrowError> {
            match batch.column_by_name(field.name()) {
                _ if field.name() == INGESTED_AT => Ok(instants(self.came, rows)),
                _ if field.name() == &self.dating.column && !own_dates => {
                    Ok(self.dated(field.data_type(), rows))
                }
                _ if self.paths.contains_key(field.name()) => {
                    let found = nested.column(batch, &self.paths[field.name()])?;
                    self.converted(field, &found)
                }
                Some(given) => self.converted(field, given),
                None => Ok(new_null_array(field.data_type(), rows)),
            }
        };
        let columns = schema.fields().iter().map(&mut column).collect::<Result<Vec<_>, _>>()?;
        // The schema refuses a null in a key column.
        RecordBatch::try_new(Arc::clone(schema), columns)
    }

    fn converted(&self, field: &Field, given: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let given = cast_with_options(given, field.data_type(), &strict)?;
        let Some(conversion) = self.units.get(field.name()) else { return Ok(given) };
        let converted: Float64Array = given.as_primitive::<Float64Type>().unary(|v| conversion.apply(v));
        Ok(Arc::new(converted))
    }

    fn dated(&self, of: &DataType, rows: usize) -> ArrayRef {
        match of {
            DataType::Date32 => Arc::new(Date32Array::from(vec![days_since_epoch(self.dating.day); rows])),
            _ => instants(self.dating.day.and_time(NaiveTime::MIN).and_utc(), rows),
        }
    }

    /// The batch with the ids of the regions that its rows name.
    fn placed(&self, batch: RecordBatch) -> Result<RecordBatch, Unfit> {
        let schema = batch.schema();
        let unfit = |error: ArrowError| Unfit::File(error.to_string());
        let place = schema.index_of("region_id").map_err(unfit)?;
        let texts = batch.column(place).as_string::<i32>();
        let mut found: HashMap<&str, RegionId> = HashMap::new();
        for row in 0..batch.num_rows() {
            let text = texts.value(row);
            if let Entry::Vacant(new) = found.entry(text) {
                new.insert(self.region(text).map_err(Unfit::File)?);
            }
        }
        let ids = (0..batch.num_rows()).map(|row| found.get(texts.value(row)).map(RegionId::as_str));
        let ids: ArrayRef = Arc::new(ids.collect::<StringArray>());
        let mut columns = batch.columns().to_vec();
        columns[place] = ids;
        RecordBatch::try_new(schema, columns).map_err(unfit)
    }

    /// The region that a text names. Errors: why it names none.
    fn region(&self, text: &str) -> Result<RegionId, String> {
        match self.again {
            true => self.atlas.settle(text).map_err(|error| error.to_string()),
            false => self.atlas.find(text),
        }
    }

    /// Adds the regions and days of a batch. An instant's UTC day may be one off its region's.
    fn touch(&self, batch: &RecordBatch, touched: &mut Touched) -> Result<(), Unfit> {
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| Unfit::File(format!("the table has no column `{name}`")))
        };
        let dates = column(&self.dating.column)?;
        let days = cast(dates, &DataType::Date32).map_err(|e| Unfit::File(e.to_string()))?;
        let (regions, days) = (column("region_id")?.as_string::<i32>(), days.as_primitive::<Date32Type>());
        let mut found = Touched::default();
        let mut last: Option<RegionId> = None;
        for row in 0..batch.num_rows() {
            let name = regions.value(row);
            if last.as_ref().is_none_or(|r| r.as_str() != name) {
                last = Some(RegionId::parse(name).map_err(|e| Unfit::File(e.to_string()))?);
            }
            if let (Some(region), Some(day)) = (&last, days.value_as_date(row)) {
                found.add(region, day);
            }
        }
        let instants = dates.data_type() != &DataType::Date32;
        touched.merge(&if instants { found.with_neighbours() } else { found });
        Ok(())
    }
}

/// The batches of a worker's Parquet files, in order. Blocking.
fn read(files: &[PathBuf]) -> Result<Vec<RecordBatch>, Unfit> {
    let broken = |e: &dyn std::error::Error| Unfit::File(format!("its conversion cannot be read: {e}"));
    let (mut batches, mut bytes) = (Vec::new(), 0);
    for file in files {
        let file = File::open(file).map_err(|e| lost(&e))?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build()).map_err(|e| broken(&e))?;
        for batch in reader {
            let batch = batch.map_err(|e| broken(&e))?;
            bytes += batch.get_array_memory_size();
            if bytes > ROWS_BYTES {
                return Err(Unfit::File(format!("its rows take more than {ROWS_BYTES} bytes of memory")));
            }
            batches.push(batch);
        }
    }
    Ok(batches)
}

fn instants(at: DateTime<Utc>, rows: usize) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![at.timestamp_micros(); rows]).with_timezone("UTC"))
}

fn lost(error: &dyn std::error::Error) -> Unfit {
    let reason = format!("the converted file is lost: {error}");
    Unfit::Source(SourceError::Unavailable { reason, retry_after_secs: None })
}

fn listed(names: &[String]) -> String {
    names.iter().take(10).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn type_of(of: ColumnType) -> Type {
    match of {
        ColumnType::Text => Type::Text,
        ColumnType::Bigint => Type::Bigint,
        ColumnType::Double => Type::Double,
        ColumnType::Date => Type::Date,
        ColumnType::Timestamp => Type::Timestamp,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;

    use super::*;
    use crate::lakefile::Lakefile;
    use crate::sources::raw::{RawObject, RawStore};
    use crate::sources::workers::Workers;

    /// The rows that source A makes of a file, or why it makes none.
    async fn activity(name: &str, bytes: impl Into<Vec<u8>>, widens: bool) -> Result<Rows, String> {
        let lake = lake::Lake::open(lake::LakeConfig::default()).await.unwrap();
        let raw = RawStore::new(lake.objects().clone(), "raw");
        let put = lake.objects().put("raw/x", bytes.into().into()).await.unwrap();
        let came = "2021-10-04T06:00:00Z".parse().unwrap();
        let object = RawObject {
            path: "raw/x".into(),
            size: put.size,
            sha256: put.sha256,
            origin: String::new(),
            at: came,
            about: serde_json::Value::Null,
        };
        let lakefile = Lakefile::builtin().unwrap();
        let converted = ("activity_index".to_owned(), Conversion::between("degF", "degC").unwrap());
        let units = BTreeMap::from_iter(name.contains("degF").then_some(converted));
        let fitting = Fitting {
            table: lakefile.table(&"source_a.activity".parse().unwrap()).unwrap(),
            units: &units,
            paths: &BTreeMap::new(),
            dating: Dating { column: "day".into(), day: "2021-10-01".parse().unwrap() },
            widens,
            came,
            atlas: &Atlas::default(),
            again: false,
        };
        let made = match Workers::here().decode(&raw, &object, fitting.request(name)).await {
            Ok(decoding) => fitting.rows("a", name, decoding).await,
            Err(unfit) => Err(unfit),
        };
        made.map_err(|unfit| match unfit {
            Unfit::File(reason) => reason,
            Unfit::Source(error) => panic!("{error}"),
        })
    }

    fn days(rows: &Rows) -> Vec<String> {
        let days = rows.0[0].column(1).as_primitive::<Date32Type>();
        (0..days.len()).map(|row| days.value_as_date(row).unwrap().to_string()).collect()
    }

    #[tokio::test]
    async fn rows_without_a_date_have_the_files_and_others_their_own() {
        let plain = "region_id,visits,activity_index\nit-lazio,12,99.5\nit-sicilia,,\n";
        let rows = activity("a.csv", plain, false).await.unwrap();
        assert_eq!((rows.0[0].num_rows(), rows.0[0].num_columns()), (2, 5));
        assert_eq!((days(&rows), rows.1.len()), (vec!["2021-10-01".to_owned(); 2], 2));
        assert!(rows.0[0].column(3).is_null(1));
        let dated = "day,region_id,visits,activity_index\n2020-02-29,it-lazio,1,2\n";
        assert_eq!(days(&activity("a.csv", dated, false).await.unwrap()), ["2020-02-29"]);
    }

    #[tokio::test]
    async fn an_instant_in_the_date_column_dates_its_row_by_its_utc_day() {
        let instants =
            ["2021-10-04T06:00:00Z", "2021-10-05 06:30", "2021-10-07T01:00:00+02:00", "2021-10-07"];
        let csv = |at: &str| format!("{at},it-lazio,1,2\n");
        let csv = "day,region_id,visits,activity_index\n".to_owned() + &instants.map(csv).concat();
        let json = |at: &str| {
            format!("{{\"day\":\"{at}\",\"region_id\":\"it-lazio\",\"visits\":1,\"activity_index\":2}}\n")
        };
        for (name, text) in [("a.csv", csv), ("a.ndjson", instants.map(json).concat())] {
            let rows = activity(name, text, false).await.unwrap();
            assert_eq!(days(&rows), ["2021-10-04", "2021-10-05", "2021-10-06", "2021-10-07"], "{name}");
        }
    }

    #[tokio::test]
    async fn every_format_of_uploads_gives_the_same_rows() {
        let plain = "region_id,visits,activity_index\nit-lazio,12,99.5\n";
        let expected = activity("a.csv", plain, false).await.unwrap();
        let packed = zstd::encode_all(plain.as_bytes(), 1).unwrap();
        for (name, bytes) in [
            ("a.csv", "region_id;visits;activity_index\r\nit-lazio;12;99,5\r\n".as_bytes().to_vec()),
            ("a.tsv", plain.replace(',', "\t").into_bytes()),
            ("a.csv.zst", packed),
            ("a.ndjson", br#"{"region_id": "it-lazio", "visits": 12, "activity_index": 99.5}"#.to_vec()),
            ("a.json", br#"[{"activity_index": 99.5, "region_id": "it-lazio", "visits": 12}]"#.to_vec()),
        ] {
            assert_eq!(activity(name, bytes, false).await.unwrap(), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_unit_of_the_files_is_converted() {
        let rows = activity("degF.csv", "region_id,visits,activity_index\nit-lazio,12,212\n", false).await;
        let stored = rows.unwrap().0[0].column(2).as_primitive::<Float64Type>().value(0);
        assert!((stored - 100.0).abs() < 1e-9, "{stored}");
    }

    #[tokio::test]
    async fn what_does_not_fit_is_told_and_columns_may_drift_where_asked() {
        for (text, reason) in [
            ("region_id,visitors,activity_index\nit-lazio,1,2\n", "no column `visitors`"),
            ("region_id,visits\nit-lazio,1\n", "the file has no column `activity_index`"),
            ("region_id,visits,activity_index\nit-lazio,many,1\n", "many"),
            ("visits,activity_index\n1,2\n", "region_id"),
            ("region_id,visits,activity_index\n../x,1,2\n", "region"),
            ("region_id,visits,activity_index\nit-lazio,1,2,3\n", "row 1"),
            ("region_id,visits,activity_index\n,1,2\n", "region_id"),
            ("\u{0}\u{1}\u{2}", "NUL"),
            ("", "empty"),
        ] {
            let told = activity("a.csv", text, false).await.unwrap_err();
            assert!(told.contains(reason), "{text}: {told}");
        }
        let drifted = "region_id,visits,shops\nit-lazio,1,7\n";
        let rows = activity("a.csv", drifted, true).await.unwrap();
        assert!(rows.0[0].column(2).is_null(0) && rows.0[0].num_columns() == 6);
        let shops = rows.0[0].column_by_name("shops").unwrap();
        assert_eq!(shops.as_primitive::<arrow::datatypes::Int64Type>().value(0), 7);
        let empty = "region_id,visits,activity_index,shops,ingested_at\nit-lazio,1,2,,2020-01-01\n";
        assert_eq!(activity("a.csv", empty, true).await.unwrap().0[0].num_columns(), 5);
        assert!(activity("a.csv", "visits,shops\n1,7\n", true).await.is_err());
    }
}
