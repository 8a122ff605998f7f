//! One Parquet file in the making: bytes come out as they are ready, so that nobody holds a whole file.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::mem;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use bytes::Bytes;
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

use crate::Error;
use crate::file::DataFile;
use crate::stats;
use crate::verify::Digest;

/// Rows a row group: small enough that a region's look-up reads little.
const GROUP_ROWS: usize = 128 << 10;
/// A row group is closed early at this size, so that wide tables do not fill the memory.
const GROUP_BYTES: usize = 48 << 20;
/// Rows a page: what one look-up by the sort key decodes at least.
const PAGE_ROWS: usize = 8 << 10;

/// Where the Parquet writer puts bytes until they are taken away.
#[derive(Clone, Default)]
struct Outlet(Arc<Mutex<Vec<u8>>>);

impl io::Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encodes batches of one schema into one file.
pub(crate) struct Encoder {
    parquet: ArrowWriter<Outlet>,
    outlet: Outlet,
    schema: SchemaRef,
    digest: Digest,
    written: u64,
    not_a_number: HashSet<String>,
}

impl Encoder {
    /// `schema` is that of the file: normalised, without partition columns.
    pub fn new(schema: SchemaRef, sort: &[String]) -> Result<Self, Error> {
        let outlet = Outlet::default();
        let parquet =
            ArrowWriter::try_new(outlet.clone(), Arc::clone(&schema), Some(properties(&schema, sort)))?;
        Ok(Self { parquet, outlet, schema, digest: Digest::new(), written: 0, not_a_number: HashSet::new() })
    }

    /// Bytes so far, with an estimate of the open row group.
    pub fn size(&self) -> u64 {
        self.written + self.parquet.in_progress_size() as u64
    }

    /// Adds rows; gives the bytes that became ready, often none.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Bytes, Error> {
        self.note_not_a_number(batch);
        self.parquet.write(batch)?;
        if self.parquet.memory_size() > GROUP_BYTES {
            self.parquet.flush()?;
        }
        Ok(self.take())
    }

    /// Ends the file: its last bytes, and what is known of it (all but path, partition and order).
    pub fn finish(mut self) -> Result<(Bytes, DataFile), Error> {
        let footer = self.parquet.finish()?;
        let last = self.take();
        let mut file = DataFile::default();
        stats::of_parquet(&footer, &self.schema, &self.not_a_number, &mut file)?;
        let (size, sha256, blocks) = self.digest.finish();
        Ok((last, DataFile { size, sha256: Some(sha256), blocks: Some(blocks), ..file }))
    }

    fn take(&mut self) -> Bytes {
        let ready = Bytes::from(mem::take(&mut *self.outlet.0.lock()));
        self.digest.update(&ready);
        self.written += ready.len() as u64;
        ready
    }

    /// Parquet leaves NaN out of its bounds; for such a column there must be none.
    fn note_not_a_number(&mut self, batch: &RecordBatch) {
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            if !self.not_a_number.contains(field.name()) && holds_not_a_number(column) {
                self.not_a_number.insert(field.name().clone());
            }
        }
    }
}

fn holds_not_a_number(column: &dyn Array) -> bool {
    match column.data_type() {
        DataType::Float32 => column.as_primitive::<Float32Type>().values().iter().any(|value| value.is_nan()),
        DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().any(|value| value.is_nan()),
        _ => false,
    }
}

fn properties(schema: &SchemaRef, sort: &[String]) -> WriterProperties {
    let index = |name: &String| schema.index_of(name).ok().and_then(|index| i32::try_from(index).ok());
    let flat = schema.fields().iter().all(|field| !field.data_type().is_nested());
    // the footer counts leaves, so positions are only the same in a flat schema
    let sorting: Option<Vec<_>> =
        flat.then(|| sort.iter().map(index).collect::<Option<Vec<_>>>()).flatten().map(|columns| {
            columns
                .into_iter()
                .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false })
                .collect()
        });
    WriterProperties::builder()
        .set_created_by(concat!("lakefront ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(sorting.filter(|columns| !columns.is_empty()))
        .build()
}

/// A file in the making with the partition it belongs to.
pub(crate) struct OpenFile {
    pub encoder: Encoder,
    pub name: String,
    pub partition: BTreeMap<String, Option<String>>,
    pub sort: Vec<String>,
}

impl OpenFile {
    /// Last bytes and the finished description.
    pub fn finish(self, now: chrono::DateTime<chrono::Utc>) -> Result<(Bytes, DataFile), Error> {
        let (last, file) = self.encoder.finish()?;
        let (path, partition, sort) = (self.name, self.partition, self.sort);
        Ok((last, DataFile { path, partition, sort, modified: now.timestamp_millis(), ..file }))
    }
}
