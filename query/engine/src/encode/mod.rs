//! Rows into bytes: the five formats answers come in (query/engine/src/encode).
//!
//! ```text
//! record batches ─▶ Encoder(format) ─▶ final bytes   json | ndjson | csv | arrow | parquet
//! ```
//! One place for the conventions: NaN and infinities are null, integers beyond 2^53 and decimals are
//! strings, instants are RFC 3339 in UTC, a second column `x` is called `x_2`. CSV is RFC 4180, and a text
//! that a spreadsheet would take for a formula gets an apostrophe in front.

mod cells;
mod format;
mod tables;
mod text;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;

pub use format::{ColumnType, Format, columns, sql_type, unique_names};
use tables::Table;
use text::Text;

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("column `{column}` of type {type_name} cannot be written as {format}")]
    Type { column: String, type_name: String, format: Format },
    #[error("the rows cannot be written")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("the rows cannot be written")]
    Parquet(#[from] parquet::errors::ParquetError),
}

/// Writes batches of one schema in one format, in memory.
pub struct Encoder(Kind);

enum Kind {
    Text(Text),
    Table(Box<Table>),
}

impl Encoder {
    /// Begins a body. `bom` matters to CSV alone. JSON is the array `[{…},…]`, without an envelope.
    /// Repeated column names are numbered here. Errors: a type the format does not have.
    pub fn new(format: Format, schema: &SchemaRef, bom: bool) -> Result<Self, EncodeError> {
        let schema = numbered(schema);
        Ok(Self(match format {
            Format::Json | Format::Ndjson | Format::Csv => Kind::Text(Text::new(format, &schema, bom)),
            Format::Arrow | Format::Parquet => Kind::Table(Box::new(Table::new(format, &schema)?)),
        }))
    }

    /// Adds all rows. The batch has the schema of [`Encoder::new`].
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        self.write_within(batch, usize::MAX).map(drop)
    }

    /// Adds rows as long as the body stays within `most` bytes, and answers how many were added.
    /// Text formats count what they wrote, the others what the rows weigh in memory.
    pub fn write_within(&mut self, batch: &RecordBatch, most: usize) -> Result<usize, EncodeError> {
        match &mut self.0 {
            Kind::Text(text) => text.write(batch, most),
            Kind::Table(table) => table.write(batch, most),
        }
    }

    /// Bytes so far, counted as in [`Encoder::write_within`].
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Text(text) => text.len(),
            Kind::Table(table) => table.len(),
        }
    }

    /// Whether no byte was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the body.
    pub fn finish(self) -> Result<Bytes, EncodeError> {
        match self.0 {
            Kind::Text(text) => Ok(text.finish()),
            Kind::Table(table) => table.finish(),
        }
    }
}

/// All of `batches` at once; see [`Encoder`].
pub fn encode(
    format: Format,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    bom: bool,
) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new(format, schema, bom)?;
    batches.iter().try_for_each(|batch| encoder.write(batch))?;
    encoder.finish()
}

/// The schema under the names it is answered with.
fn numbered(schema: &Schema) -> SchemaRef {
    let names = unique_names(schema.fields().iter().map(|field| field.name().as_str()));
    let renamed = |(field, name): (&Arc<Field>, String)| field.as_ref().clone().with_name(name);
    Arc::new(Schema::new(schema.fields().iter().zip(names).map(renamed).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
