//! Rows into one page: cut at its rows or its bytes, and honest about it.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use futures::StreamExt;
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use worker::{Refusal, Reply};

use super::head;
use super::plan::Answered;
use super::ready::Ready;
use super::refuse::{from_engine, too_large};
use crate::encode::{EncodeError, Encoder, Format, columns, encode};

/// What a page may hold, and in which format.
pub(super) struct Shape {
    pub format: Format,
    pub bom: bool,
    /// Trailing columns that are not answered but told of in the head.
    pub hidden: usize,
    /// Rows at most; 0 asks for the columns only.
    pub rows: u64,
    pub bytes: u64,
}

/// Runs a planned statement to its page. Errors: what the engine says, `query-too-large` for a row that
/// alone is larger than a page.
pub(super) async fn run(ready: Ready, shape: &Shape) -> Result<Reply, Refusal> {
    let mut page = Page::new(&ready.schema, shape)?;
    if shape.rows > 0 {
        let mut stream = ready.stream()?;
        while let Some(batch) = stream.next().await {
            if !page.add(&batch.map_err(|error| from_engine(&error))?)? {
                break;
            }
        }
    }
    page.reply()
}

struct Page<'a> {
    shape: &'a Shape,
    schema: SchemaRef,
    encoder: Encoder,
    rows: u64,
    truncated: bool,
    tail: Tail,
}

impl<'a> Page<'a> {
    fn new(schema: &Schema, shape: &'a Shape) -> Result<Self, Refusal> {
        let answered = schema.fields().len().saturating_sub(shape.hidden);
        let (fields, hidden) = schema.fields().split_at(answered);
        let tail = Tail::new(hidden.iter().map(|field| field.data_type().clone()).collect())?;
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let encoder = Encoder::new(shape.format, &schema, shape.bom).map_err(unwritable)?;
        Ok(Self { shape, schema, encoder, rows: 0, truncated: false, tail })
    }

    /// Adds what still fits; false when the page is full.
    fn add(&mut self, batch: &RecordBatch) -> Result<bool, Refusal> {
        let room = usize::try_from(self.shape.rows - self.rows).unwrap_or(usize::MAX);
        let given = batch.num_rows();
        let batch = batch.slice(0, given.min(room));
        let shown: Vec<usize> = (0..self.schema.fields().len()).collect();
        let answered = batch.project(&shown).map_err(|error| from_engine(&error.into()))?;
        let most = usize::try_from(self.shape.bytes).unwrap_or(usize::MAX);
        let written = self.encoder.write_within(&answered, most).map_err(unwritable)?;
        self.rows += written as u64;
        self.tail.add(&batch.slice(0, written))?;
        self.truncated |= written < given;
        Ok(!self.truncated)
    }

    fn reply(self) -> Result<Reply, Refusal> {
        if self.truncated && self.rows == 0 {
            return Err(too_large(format!("one row is larger than {} bytes", self.shape.bytes)));
        }
        let body = self.encoder.finish().map_err(unwritable)?;
        let answered = Answered {
            rows: self.rows,
            truncated: self.truncated,
            columns: columns(&self.schema),
            content_type: self.shape.format.content_type().to_owned(),
            sha256: hex(&Sha256::digest(&body)),
            last: self.tail.last,
            repeats: self.tail.repeats,
        };
        Ok(Reply { head: head(&answered)?, body })
    }
}

fn unwritable(error: EncodeError) -> Refusal {
    match error {
        EncodeError::Type { .. } => Refusal::new("not-acceptable", error.to_string()),
        EncodeError::Arrow(error) => from_engine(&error.into()),
        EncodeError::Parquet(error) => {
            tracing::error!(%error, "rows could not be written");
            Refusal::new("internal", "the rows cannot be written")
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hidden columns of the last row, and how many rows at the end share them.
struct Tail {
    converter: RowConverter,
    hidden: usize,
    key: Option<OwnedRow>,
    last: Vec<Value>,
    repeats: u64,
}

impl Tail {
    fn new(types: Vec<DataType>) -> Result<Self, Refusal> {
        let hidden = types.len();
        let field = |of: DataType| SortField::new_with_options(of, SortOptions::default());
        let converter = RowConverter::new(types.into_iter().map(field).collect());
        let converter = converter.map_err(|error| from_engine(&error.into()))?;
        Ok(Self { converter, hidden, key: None, last: Vec::new(), repeats: 0 })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), Refusal> {
        if self.hidden == 0 || batch.num_rows() == 0 {
            return Ok(());
        }
        let hidden = &batch.columns()[batch.num_columns() - self.hidden..];
        let rows = self.converter.convert_columns(hidden).map_err(|error| from_engine(&error.into()))?;
        let end = batch.num_rows() - 1;
        let same = (0..=end).rev().take_while(|row| rows.row(*row) == rows.row(end)).count();
        let goes_on =
            same == batch.num_rows() && self.key.as_ref().is_some_and(|key| key.row() == rows.row(end));
        self.repeats = same as u64 + if goes_on { self.repeats } else { 0 };
        self.key = Some(rows.row(end).owned());
        self.last = hidden.iter().map(|column| key_value(column, end)).collect::<Result<_, _>>()?;
        Ok(())
    }
}

/// A value that can come back as a parameter and mean the same.
fn key_value(column: &ArrayRef, row: usize) -> Result<Value, Refusal> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => double(f64::from(column.as_primitive::<Float32Type>().value(row))),
        _ => {
            let one = Arc::new(Schema::new(vec![arrow::datatypes::Field::new(
                "v",
                column.data_type().clone(),
                true,
            )]));
            let batch = RecordBatch::try_new(one.clone(), vec![column.slice(row, 1)]);
            let batch = batch.map_err(|error| from_engine(&error.into()))?;
            let text = encode(Format::Json, &one, &[batch], false).map_err(unwritable)?;
            let rows: Value = serde_json::from_slice(&text).unwrap_or_default();
            rows[0]["v"].clone()
        }
    })
}

fn double(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}
