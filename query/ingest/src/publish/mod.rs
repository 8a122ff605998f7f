//! The one write path (query/ingest/src/publish).
//!
//! ```text
//! intent row ─▶ Parquet files ─▶ Delta commit ─▶ one catalog transaction ─▶ Published
//!     │             │                │                │
//!  after-intent  after-parquet   after-commit    after-catalog        (failpoints `publish.…`)
//! ```
//! A kill at any point leaves either an open intent, which `recovery` finishes or clears, or a complete version. Files of a write carry
//! the intent's id in their name, so what an abandoned write left can be found and removed without a list.

mod change;
pub(crate) mod conform;
mod error;
mod incoming;
pub(crate) mod keys;
mod publisher;
pub(crate) mod rewrite;
pub(crate) mod settle;
mod split;
mod terms;
mod widen;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use catalog::Table;
use chrono::{DateTime, NaiveDate, Utc};
use datafusion::execution::SendableRecordBatchStream;
use identity::RegionId;
use lake::DataFile;
use serde_json::{Map, Value};

pub use error::Error;
pub use publisher::Publisher;
pub use settle::Settled;

/// What one write does to a table.
pub struct Write {
    /// The new rows.
    pub rows: Rows,
    /// What happens to the rows that are there.
    pub mode: Mode,
    /// How new files are cut; `None` writes as few as their size allows.
    pub split: Option<Split>,
    /// Application transaction committed with the data: (application, number). A write whose number is not above the committed one is
    /// answered with [`Published::repeated`] and changes nothing.
    pub txn: Option<(String, i64)>,
    /// Regions whose rows change; their stamps move with the commit.
    pub regions: Regions,
    /// The days that it brings rows of.
    pub days: Option<catalog::Days>,
    /// The source's batch that this write completes: (source, n, position).
    pub batch: Option<SourceBatch>,
    /// Kept in the commit's metadata (upload id, digest, file label, …).
    pub metadata: Map<String, Value>,
    /// Whether columns of the rows that the table has of a narrower type widen it: whole numbers, fractions, text. Its other
    /// rows are written anew then.
    pub widen: bool,
    /// New column descriptions of the catalog; `None` keeps (or, at the first commit, derives) them.
    pub columns: Option<Vec<catalog::Column>>,
    /// Rows set aside, with their count.
    pub rejects: Option<Rejects>,
    /// The job that ends well with this commit, in the same transaction.
    pub job: Option<catalog::JobOutcome>,
    /// The answer kept for the request's `Idempotency-Key`, in the same transaction.
    pub answer: Option<catalog::Answer>,
    /// The commit's time: `updated_at` of the table.
    pub at: DateTime<Utc>,
}

/// The new rows of a write.
pub enum Rows {
    /// Rows made by our own code, streamed.
    Stream(SendableRecordBatchStream),
    /// Rows made by our own code, in memory. An empty list with a schema is a commit without new rows.
    Batches(SchemaRef, Vec<RecordBatch>),
    /// Finished Parquet files in a local folder, described by who wrote them (a worker); they are moved, not copied, where the store allows.
    Finished(SchemaRef, Vec<Finished>),
}

/// A finished Parquet file outside the lake, and its statistics (`file.path` is ignored).
pub struct Finished {
    pub local: std::path::PathBuf,
    pub file: DataFile,
}

/// What happens to the rows already in the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// They stay.
    Append,
    /// They go.
    Overwrite,
    /// Those with the same key go. Only files that hold such keys are rewritten. Of equal keys in the new rows the last one wins, or the
    /// write is refused when `unique` is set. A null in a key column is refused.
    Upsert { key: Vec<String>, unique: bool },
    /// Those whose key is in `keys` go, also where no new row has that key.
    ReplaceKeys { key: Vec<String>, keys: Vec<RecordBatch> },
    /// Those in these files go: whoever wrote the new rows has read them at that version and kept what must stay. Any other change since is
    /// [`Error::Conflict`].
    ReplaceFiles { remove: Vec<String>, read_version: lake::Version },
    /// Those inside a window go: `column` is a date or timestamp. A window that gets no new rows is empty afterwards.
    ReplaceWindow { column: String, windows: Vec<Window> },
}

/// Rows of one region (or of all) with `from <= column < to`, days in UTC where the column is a timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub region: Option<RegionId>,
    pub from: NaiveDate,
    pub to: NaiveDate,
}

/// Written files never hold two values of the period of `column`, so that a later change of one day or month rewrites little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub column: String,
    pub period: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Day,
    Month,
}

/// The regions a commit touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regions {
    /// The table has no regions.
    None,
    /// Every region may have changed.
    All,
    These(BTreeSet<RegionId>),
}

/// One batch of a source, committed with its data.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceBatch {
    pub source: String,
    pub n: i64,
    pub position: Value,
}

/// Rows set aside while decoding: the first of them as `{row, column, value, reason}`, and how many there were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejects {
    pub count: i64,
    pub rows: Vec<Value>,
}

/// What became visible.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The table as readers see it from now on.
    pub table: Arc<Table>,
    /// The version this write made.
    pub version: i64,
    /// Rows and bytes of the whole table at that version.
    pub rows: i64,
    pub bytes: i64,
    /// The write had been committed before; nothing was written now.
    pub repeated: bool,
}

impl Published {
    /// The table as it stands.
    fn of(table: Arc<Table>, repeated: bool) -> Self {
        let (version, rows, bytes) = (table.version.unwrap_or(0), table.rows, table.bytes);
        Self { table, version, rows, bytes, repeated }
    }
}

impl Write {
    /// A write of `rows` with `mode` at `at`; everything else absent, regions [`Regions::None`].
    pub fn new(rows: Rows, mode: Mode, at: DateTime<Utc>) -> Self {
        Self {
            rows,
            mode,
            split: None,
            txn: None,
            regions: Regions::None,
            days: None,
            batch: None,
            metadata: Map::new(),
            widen: false,
            columns: None,
            rejects: None,
            job: None,
            answer: None,
            at,
        }
    }
}

#[cfg(test)]
mod tests;
