//! Keys of the new rows: each once; and, in an upsert, what stays of the files that hold rows with the same keys.

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use lake::{LocalWriter, WriterOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::sync::Arc;
use uuid::Uuid;

use super::Work;
use super::cells::Bad;
use super::fault::{Fault, Stop};
use super::output::{Outcome, of_lake};
use super::parquet_in::Stored;
use super::request::Decoded;
use super::source::Source;
use crate::publish::conform::conform;
use crate::publish::keys::{KeyReader, KeySet};
use crate::publish::rewrite::Bounds;

/// Checks the keys of a finished conversion and replaces by them where asked. Errors: a key that stands twice.
pub(super) fn merge(work: &Work, mut outcome: Outcome) -> Result<Outcome, Stop> {
    let decoded = &outcome.decoded;
    if decoded.key.is_empty() {
        return Ok(outcome);
    }
    let schema = schema(decoded);
    let reader = KeyReader::new(&schema, &decoded.key).map_err(internal)?;
    let (set, bounds) = new_keys(work, decoded, &schema, &reader)?;
    if work.request.existing.is_empty() || set.is_empty() {
        return Ok(outcome);
    }
    let (replaced, mut kept) = replace(work, &schema, &reader, &set, &bounds)?;
    outcome.decoded.replaced = replaced;
    outcome.decoded.files.append(&mut kept);
    Ok(outcome)
}

fn schema(decoded: &Decoded) -> SchemaRef {
    let field = |column: &super::request::DecodedColumn| Field::new(&column.name, column.of.arrow(), true);
    Arc::new(Schema::new(decoded.columns.iter().map(field).collect::<Vec<_>>()))
}

/// All keys of the new rows, and between which values they lie.
fn new_keys(
    work: &Work,
    decoded: &Decoded,
    schema: &SchemaRef,
    reader: &KeyReader,
) -> Result<(KeySet, Vec<Bounds>), Stop> {
    let mut set = KeySet::default();
    let mut bounds = Bounds::none(&decoded.key);
    let mut row = 0;
    for file in &decoded.files {
        let file = File::open(work.scratch.join(&file.path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(internal)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), decoded.key.iter().map(String::as_str));
        for batch in builder.with_projection(mask).build().map_err(internal)? {
            let batch = batch.map_err(internal)?;
            if let Some(second) = set.add(reader, &batch).map_err(internal)? {
                return Err(twice(row + second as u64 + 1, &batch, second, decoded).into());
            }
            bounds.iter_mut().for_each(|bounds| bounds.widen(&batch));
            row += batch.num_rows() as u64;
        }
    }
    debug_assert!(schema.fields().len() >= decoded.key.len());
    Ok((set, bounds))
}

fn twice(row: u64, batch: &RecordBatch, at: usize, decoded: &Decoded) -> Fault {
    let value = |column: &String| {
        let array = batch.column_by_name(column);
        array
            .and_then(|array| arrow::util::display::array_value_to_string(array, at).ok())
            .unwrap_or_default()
    };
    let values = decoded.key.iter().map(value).collect::<Vec<_>>().join(", ");
    let bad = Bad::new(
        row - 1,
        Some(0),
        values.as_bytes(),
        "stands in more than one row, but the key tells rows apart",
    );
    Fault::of_bad(&[(row, bad)], &[decoded.key.join(", ")], 1)
}

/// The existing files that hold such keys, and new files with what stays of them.
fn replace(
    work: &Work,
    schema: &SchemaRef,
    reader: &KeyReader,
    set: &KeySet,
    bounds: &[Bounds],
) -> Result<(Vec<String>, Vec<lake::DataFile>), Stop> {
    let folder = Uuid::now_v7().simple().to_string();
    std::fs::create_dir(work.scratch.join(&folder))?;
    let mut writer = LocalWriter::create(&work.scratch.join(&folder), schema, WriterOptions::default())
        .map_err(of_lake)?;
    let mut replaced = Vec::new();
    for (index, file) in work.request.existing.iter().enumerate() {
        if !bounds.iter().all(|bounds| bounds.overlap(file)) {
            continue;
        }
        let source = work.handle.block_on(Source::open(work.files.clone(), index + 1, work.source.caps))?;
        let stored = Stored::There(source);
        if !holds_any(&stored, schema, reader, set)? {
            continue;
        }
        for batch in batches(&stored)? {
            let batch = conform(&batch?, schema).map_err(internal)?;
            let staying = reader.outside(&batch, set).map_err(internal)?;
            writer.write(&filter_record_batch(&batch, &staying).map_err(internal)?).map_err(of_lake)?;
        }
        replaced.push(file.path.clone());
    }
    let mut kept = writer.finish().map_err(of_lake)?;
    kept.iter_mut().for_each(|file| file.path = format!("{folder}/{}", file.path));
    Ok((replaced, kept))
}

fn holds_any(stored: &Stored, schema: &SchemaRef, reader: &KeyReader, set: &KeySet) -> Result<bool, Stop> {
    for batch in batches(stored)? {
        let batch = conform(&batch?, schema).map_err(internal)?;
        if reader.outside(&batch, set).map_err(internal)?.true_count() < batch.num_rows() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn batches(stored: &Stored) -> Result<impl Iterator<Item = Result<RecordBatch, Stop>>, Stop> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(stored.clone())
        .map_err(internal)?
        .build()
        .map_err(internal)?;
    Ok(reader.map(|batch| batch.map_err(internal)))
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Stop {
    Stop::Io(std::io::Error::other(error))
}
