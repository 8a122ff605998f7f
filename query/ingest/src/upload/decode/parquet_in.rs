//! An uploaded Parquet file: judged by its footer and pages, then decoded and encoded anew. It never becomes a file of the lake itself.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{Buf, Bytes};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::Work;
use super::cells::Bad;
use super::facts::{Facts, Reading};
use super::fault::{Fault, Stop};
use super::marks::Found;
use super::names::{Named, name_columns};
use super::output::{Outcome, Output, without};
use super::pages;
use super::plan::Plan;
use super::sniff::Packing;
use super::source::Source;
use super::types::Type;
use crate::upload::{Format, OnBadRows};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8_192;
/// Decoded bytes that any file may have, whatever its size.
const FREE_BYTES: u64 = 1 << 30;
/// Decoded bytes for each stored byte beyond those: run lengths make much of little, but not without end.
const DECODED_RATIO: u64 = 1_000;

/// The file where it can be read at any place: at the gateway, or unpacked in scratch.
#[derive(Clone)]
pub enum Stored {
    There(Source),
    Here { file: Arc<File>, size: u64 },
}

impl Stored {
    pub fn size(&self) -> u64 {
        match self {
            Self::There(source) => source.size,
            Self::Here { size, .. } => *size,
        }
    }

    /// Bytes from `start` to `end`.
    pub fn at(&self, start: u64, end: u64) -> io::Result<Bytes> {
        if start > end || end > self.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match self {
            Self::There(source) => source.range(start, end),
            Self::Here { file, .. } => {
                let mut bytes = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, start)?;
                Ok(bytes.into())
            }
        }
    }
}

impl Length for Stored {
    fn len(&self) -> u64 {
        self.size()
    }
}

impl ChunkReader for Stored {
    type T = Ahead;

    fn get_read(&self, start: u64) -> Result<Ahead, ParquetError> {
        Ok(Ahead { stored: self.clone(), at: start, ready: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end =
            start.checked_add(length as u64).ok_or_else(|| ParquetError::EOF("no such place".to_owned()))?;
        self.at(start, end).map_err(ParquetError::from)
    }
}

/// Reads on from a place, a little ahead.
pub struct Ahead {
    stored: Stored,
    at: u64,
    ready: Bytes,
}

const AHEAD_BYTES: u64 = 64 << 10;

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() {
            let end = self.stored.size().min(self.at + AHEAD_BYTES);
            if self.at >= end {
                return Ok(0);
            }
            self.ready = self.stored.at(self.at, end)?;
            self.at = end;
        }
        let length = into.len().min(self.ready.len());
        self.ready.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

/// Converts a Parquet file.
pub fn convert(work: &Work, packing: Packing) -> Result<Outcome, Stop> {
    let stored = open(work, packing)?;
    check_footer(work, &stored)?;
    let footer =
        ArrowReaderMetadata::load(&stored, ArrowReaderOptions::new().with_skip_arrow_metadata(false))
            .map_err(broken)?;
    check_metadata(work, footer.metadata(), stored.size())?;
    pages::check(&stored, footer.metadata())?;
    let schema = Arc::clone(footer.schema());
    let named = name_columns(schema.fields().iter().map(|field| field.name().as_str()));
    let plan = plan(work, &schema, &named)?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(stored.clone(), footer)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(broken)?;
    let caps = work.source.caps;
    let mut output = Output::new(&plan, Format::Parquet, work)?;
    let allowed = FREE_BYTES.max(stored.size().saturating_mul(DECODED_RATIO)).min(caps.unpacked_bytes);
    let mut decoded_bytes = 0;
    for batch in reader {
        let batch = batch.map_err(|error| broken(ParquetError::from(error)))?;
        decoded_bytes += batch.get_array_memory_size() as u64;
        if decoded_bytes > allowed {
            return Err(Fault::malformed("the Parquet file unpacks to far more than its size allows").into());
        }
        let (built, bad) = build(&plan, &batch, caps.cell_bytes)?;
        let keep = work.request.on_bad_rows == OnBadRows::Reject || bad.is_empty();
        output.take(if keep { vec![built] } else { Vec::new() }, bad, (batch.num_rows() as u64, 0), false)?;
    }
    output.finish()
}

/// The file itself, or unpacked into scratch where it came compressed.
fn open(work: &Work, packing: Packing) -> Result<Stored, Stop> {
    if packing == Packing::None {
        return Ok(Stored::There(work.source.clone()));
    }
    let mut file = tempfile::tempfile_in(&work.scratch)?;
    let size = io::copy(&mut work.source.unpacked(packing)?, &mut file)?;
    file.rewind()?;
    Ok(Stored::Here { file: Arc::new(file), size })
}

fn check_footer(work: &Work, stored: &Stored) -> Result<(), Stop> {
    let size = stored.size();
    if size < 12 {
        return Err(Fault::malformed("the Parquet file is cut off").into());
    }
    let tail = stored.at(size - 8, size)?;
    match &tail[4..] {
        b"PAR1" => {}
        b"PARE" => return Err(Fault::unsupported("the file is encrypted Parquet").into()),
        _ => return Err(Fault::malformed("the Parquet file has no footer: it is cut off").into()),
    }
    let length = u64::from(tail.slice(..4).get_u32_le());
    match length > work.source.caps.footer_bytes || length + 12 > size {
        true => Err(Fault::malformed("the Parquet file's footer is larger than it can be").into()),
        false => Ok(()),
    }
}

fn check_metadata(work: &Work, metadata: &ParquetMetaData, size: u64) -> Result<(), Stop> {
    let caps = work.source.caps;
    let columns = metadata.file_metadata().schema_descr().num_columns();
    if columns > caps.columns {
        return Err(Fault::malformed(format!(
            "the file has {columns} columns; a table may have {}",
            caps.columns
        ))
        .into());
    }
    caps.check_rows(u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default())?;
    if metadata.num_row_groups() > caps.row_groups {
        return Err(Fault::malformed(format!("the file has more than {} row groups", caps.row_groups)).into());
    }
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let mut unpacked = 0u64;
    for chunk in chunks {
        let bytes = u64::try_from(chunk.uncompressed_size())
            .map_err(|_| Fault::malformed("the Parquet file claims a negative size"))?;
        unpacked = unpacked.saturating_add(bytes);
    }
    match unpacked > (1 << 20) + size.saturating_mul(caps.ratio) || unpacked > caps.unpacked_bytes {
        true => Err(Fault::malformed(format!(
            "the Parquet file is refused: it unpacks to more than {} times its size",
            caps.ratio
        ))
        .into()),
        false => Ok(()),
    }
}

/// The plan of a file whose types are known: those of its own columns, unless others are given.
fn plan(work: &Work, schema: &SchemaRef, named: &[Named]) -> Result<Plan, Stop> {
    let mut plan = Plan::new(&work.request, named, &vec![Facts::default(); named.len()], Found::default())?;
    if plan.columns.is_empty() {
        return Err(Fault::malformed("the file has no columns").into());
    }
    for column in &mut plan.columns {
        let Some(source) = column.source else { continue };
        let field: &Field = schema.field(source);
        let own = Type::of_arrow(field.data_type()).ok_or_else(|| {
            Fault::malformed(format!(
                "column `{}` is of the type {}, which a table cannot have",
                column.label,
                field.data_type()
            ))
        })?;
        if !column.reading.given {
            column.reading = Reading::of(own);
        }
    }
    Ok(plan)
}

/// One batch in the plan's columns; values that do not fit are listed, and their rows left out.
fn build(plan: &Plan, batch: &RecordBatch, cell_bytes: usize) -> Result<(RecordBatch, Vec<Bad>), Stop> {
    let mut bad: Vec<Bad> = Vec::new();
    let mut columns = Vec::with_capacity(plan.columns.len());
    for (at, column) in plan.columns.iter().enumerate() {
        let Some(source) = column.source else {
            columns.push(new_null_array(&column.reading.of.arrow(), batch.num_rows()));
            continue;
        };
        let from = batch.column(source);
        let to = cast(from, &column.reading)?;
        note_lost(from, &to, at, &column.reading, &mut bad);
        note_text(&to, at, cell_bytes, &mut bad);
        columns.push(to);
    }
    for at in &plan.key {
        let null = (0..batch.num_rows()).filter(|row| columns[*at].is_null(*row));
        bad.extend(
            null.map(|row| Bad::new(row as u64, Some(*at), b"", "is null, but it is part of the key")),
        );
    }
    let marked: Vec<usize> = bad.iter().map(|bad| bad.record as usize).collect();
    let built = RecordBatch::try_new(plan.schema(), columns).map_err(internal)?;
    Ok((without(&built, &marked)?, bad))
}

fn cast(from: &ArrayRef, reading: &Reading) -> Result<ArrayRef, Stop> {
    let to = reading.of.arrow();
    if from.data_type() == &to {
        return Ok(Arc::clone(from));
    }
    if reading.of == Type::Text && from.data_type().is_nested() {
        return as_text(from);
    }
    let safe = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(from, &to, &safe).map_err(|error| {
        tracing::debug!(%error, "an uploaded column cannot be cast");
        Fault::parameter(format!(
            "a column of the type {} cannot be read as {}",
            from.data_type(),
            reading.of
        ))
        .into()
    })
}

/// Nested values as their text.
fn as_text(from: &ArrayRef) -> Result<ArrayRef, Stop> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(from.as_ref(), &options).map_err(internal)?;
    let text: StringArray =
        (0..from.len()).map(|row| from.is_valid(row).then(|| formatter.value(row).to_string())).collect();
    Ok(Arc::new(text))
}

/// A cast makes what does not fit null, and a double a whole number silently.
fn note_lost(from: &ArrayRef, to: &ArrayRef, at: usize, reading: &Reading, bad: &mut Vec<Bad>) {
    let cut = from.data_type() == &DataType::Float64 && to.data_type() == &DataType::Int64;
    if from.logical_null_count() == to.null_count() && !cut {
        return;
    }
    let nulls = from.logical_nulls();
    for row in 0..from.len() {
        let lost = to.is_null(row) && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let rounded = cut && to.is_valid(row) && {
            let whole = to.as_primitive::<Int64Type>().value(row) as f64;
            (whole - from.as_primitive::<Float64Type>().value(row)).abs() > 0.0
        };
        if lost || rounded {
            let shown = arrow::util::display::array_value_to_string(from, row).unwrap_or_default();
            bad.push(Bad::new(row as u64, Some(at), shown.as_bytes(), format!("is no {}", reading.of)));
        }
    }
}

fn note_text(array: &ArrayRef, at: usize, cell_bytes: usize, bad: &mut Vec<Bad>) {
    let Some(text) = array.as_string_opt::<i32>() else { return };
    for (row, value) in text.iter().enumerate() {
        let Some(value) = value else { continue };
        if value.len() > cell_bytes {
            bad.push(Bad::new(
                row as u64,
                Some(at),
                value.as_bytes(),
                format!("is longer than {cell_bytes} bytes"),
            ));
        } else if value.as_bytes().contains(&0) {
            bad.push(Bad::new(row as u64, Some(at), value.as_bytes(), "holds a NUL byte"));
        }
    }
}

fn broken(error: ParquetError) -> Stop {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) if error.kind() != io::ErrorKind::UnexpectedEof => Stop::Io(*error),
            Ok(_) => Fault::malformed("the Parquet file points behind its end").into(),
            Err(inner) => {
                Fault::malformed(format!("the Parquet file cannot be read: {}", cut(&inner.to_string())))
                    .into()
            }
        },
        error => {
            Fault::malformed(format!("the Parquet file cannot be read: {}", cut(&error.to_string()))).into()
        }
    }
}

/// A message of the reader, short and without line breaks.
fn cut(message: &str) -> String {
    super::fault::shown(message.as_bytes())
}

fn internal(error: arrow::error::ArrowError) -> Stop {
    Stop::Io(io::Error::other(error))
}
