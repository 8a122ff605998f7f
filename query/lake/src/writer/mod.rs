//! Record batches in, Parquet files with everything the log wants to know of them out.
//!
//! ```text
//! batch ─▶ normalise ─▶ split by partition ─▶ (sort, a file) ─▶ Encoder ─▶ bytes ─▶ store | local folder
//!                                                                  └─▶ rows, bounds, nulls, SHA-256, block sums
//! ```
//! Encoding works on the caller's thread: write large amounts on the runtime for heavy work.
//! Absent on purpose: Hive folders. Partition values live in the log; names are generated.

mod core;
mod encoder;
mod local;
mod remote;
mod shape;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

pub use local::LocalWriter;
pub use remote::FileWriter;

use crate::Error;
use crate::types::normalise_schema;

/// How files are cut and ordered.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Columns kept in the log instead of the files; low cardinality only.
    pub partition_by: Vec<String>,
    /// Each file's rows are sorted by these, ascending, nulls last. Costs a buffer of up to 64 MB; empty streams.
    pub sort: Vec<String>,
    /// A file is closed once it has this many bytes.
    pub target_bytes: u64,
    /// Files are called `<prefix>-<uuid>.parquet`: an intent's id, so that an abandoned one is found by listing.
    pub prefix: String,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            partition_by: Vec::new(),
            sort: Vec::new(),
            target_bytes: 128 << 20,
            prefix: "part".to_owned(),
        }
    }
}

impl WriterOptions {
    /// A new name, never used before.
    pub(crate) fn name(&self) -> String {
        file_name(&self.prefix)
    }
}

pub(crate) fn file_name(prefix: &str) -> String {
    format!("{prefix}-{}.parquet", uuid::Uuid::new_v4())
}

/// The table's stored schema, and that of its files (without partition columns).
pub(crate) struct Schemas {
    pub table: SchemaRef,
    pub file: SchemaRef,
}

impl Schemas {
    fn new(schema: &Schema, options: &WriterOptions) -> Result<Self, Error> {
        let table = normalise_schema(schema)?;
        for column in options.partition_by.iter().chain(&options.sort) {
            if table.column_with_name(column).is_none() {
                return Err(Error::Unsupported(format!("no column {column} to write by")));
            }
        }
        let kept = table.fields().iter().filter(|field| !options.partition_by.contains(field.name()));
        let file = Arc::new(Schema::new(kept.cloned().collect::<Vec<_>>()));
        Ok(Self { table, file })
    }
}
