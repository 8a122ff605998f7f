//! Arrow IPC stream and Parquet: typed columns for programs.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{EncodeError, Format, sql_type};

/// A body of one of the two formats. Sizes are counted in memory: neither tells what it will write.
pub(super) struct Table {
    writer: Writer,
    schema: SchemaRef,
    weight: usize,
}

enum Writer {
    Arrow(StreamWriter<Vec<u8>>),
    Parquet(ArrowWriter<Vec<u8>>),
}

impl Table {
    pub(super) fn new(format: Format, schema: &Schema) -> Result<Self, EncodeError> {
        let common = |field: &FieldRef| field.as_ref().clone().with_data_type(common(field.data_type()));
        let schema = Arc::new(Schema::new(schema.fields().iter().map(common).collect::<Vec<Field>>()));
        let writer = match format {
            Format::Arrow => Writer::Arrow(StreamWriter::try_new(Vec::new(), &schema)?),
            _ => Writer::Parquet(parquet(&schema)?),
        };
        Ok(Self { writer, schema, weight: 0 })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, most: usize) -> Result<usize, EncodeError> {
        let weight = weight(batch);
        let room = most.saturating_sub(self.weight);
        let rows = match weight > room {
            true => fitting(batch.num_rows(), weight, room),
            false => batch.num_rows(),
        };
        if rows == 0 {
            return Ok(0);
        }
        self.weight += weight / batch.num_rows() * rows;
        let batch = self.cast(&batch.slice(0, rows))?;
        match &mut self.writer {
            Writer::Arrow(writer) => writer.write(&batch)?,
            Writer::Parquet(writer) => writer.write(&batch)?,
        }
        Ok(rows)
    }

    pub(super) fn len(&self) -> usize {
        self.weight
    }

    pub(super) fn finish(self) -> Result<Bytes, EncodeError> {
        let bytes = match self.writer {
            Writer::Arrow(writer) => writer.into_inner()?,
            Writer::Parquet(writer) => writer.into_inner()?,
        };
        Ok(bytes.into())
    }

    fn cast(&self, batch: &RecordBatch) -> Result<RecordBatch, EncodeError> {
        let cast = |(column, field): (&ArrayRef, &FieldRef)| arrow::compute::cast(column, field.data_type());
        let columns =
            batch.columns().iter().zip(self.schema.fields()).map(cast).collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

fn fitting(rows: usize, weight: usize, room: usize) -> usize {
    let share = rows as u128 * room as u128 / weight.max(1) as u128;
    usize::try_from(share).unwrap_or(rows).min(rows)
}

fn parquet(schema: &SchemaRef) -> Result<ArrowWriter<Vec<u8>>, EncodeError> {
    let strange = schema
        .fields()
        .iter()
        .find(|field| matches!(field.data_type(), DataType::Null | DataType::Interval(_)));
    let schema = match strange {
        Some(field) if matches!(field.data_type(), DataType::Interval(_)) => {
            let (column, type_name) = (field.name().clone(), sql_type(field.data_type()));
            return Err(EncodeError::Type { column, type_name, format: Format::Parquet });
        }
        _ => schema.clone(),
    };
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3)?);
    let properties = WriterProperties::builder()
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(128 << 10))
        .build();
    Ok(ArrowWriter::try_new(Vec::new(), schema, Some(properties))?)
}

/// The type most readers know: views and dictionaries are the engine's own business.
fn common(of: &DataType) -> DataType {
    let field = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(common(field.data_type())));
    match of {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => common(value),
        DataType::RunEndEncoded(_, value) => common(value.data_type()),
        DataType::List(item) | DataType::LargeList(item) => DataType::List(field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

/// Bytes the rows stand for, whatever buffers they share.
fn weight(batch: &RecordBatch) -> usize {
    let of = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => {
            arrow::compute::cast(column, &common(column.data_type()))
                .map_or_else(|_| column.get_array_memory_size(), |plain| plain.get_array_memory_size())
        }
        _ => column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
    };
    batch.columns().iter().map(of).sum::<usize>().max(1)
}
