//! A customer's file becomes a dataset (query/ingest/src/upload).
//!
//! ```text
//! body ─▶ stage: raw object, sha256 ─▶ finish: worker `files`/`decode` ─▶ Parquet in scratch ─▶ publish ─▶ raw object removed
//!            constant memory              no byte of it is decoded here        adopted by name
//! ```
//! On any failure nothing stays behind. Absent on purpose: decoding in this process (see `decode`, which runs in a worker).

pub mod decode;
mod digest;
mod error;
mod keyed;
mod run;
mod stage;
mod target;
mod task;
pub(crate) mod worker_task;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::{Job, Table};
use identity::{Name, WorkspaceId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub use decode::request::DecodeCaps;
pub use digest::{Digest, DigestError};
pub use error::Error;
pub use stage::{Staged, StagedFile};

use crate::publish::Publisher;

/// Kind of an upload's job.
pub const JOB_KIND: &str = "upload";

/// What a caller wants done with a staged file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewUpload {
    pub name: Name,
    pub mode: UploadMode,
    /// Key columns (SQL names or labels): required by mode upsert unless the dataset has a key; in mode create and replace they become it.
    #[serde(default)]
    pub key: Vec<String>,
    /// Format named by the caller; it must agree with the content.
    #[serde(default)]
    pub format: Option<Format>,
    /// SQL type by column (SQL name or label) that overrides the inferred one.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// Decimal mark of a CSV file's numbers; found from the whole file if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<DecimalMark>,
    #[serde(default)]
    pub on_bad_rows: OnBadRows,
    #[serde(default)]
    pub description: Option<String>,
    /// Identifies the upload for 24 h; the same key with another file or other fields is [`Error::IdempotencyMismatch`].
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// How long the caller waits before the upload becomes a job; `None` is the configured time.
    #[serde(skip)]
    pub wait: Option<Duration>,
}

/// What happens to a dataset of that name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadMode {
    /// There must be none.
    #[default]
    Create,
    /// Rows are added; it must be there.
    Append,
    /// The file is all its content from now on, whether it was there or not.
    Replace,
    /// Rows with the same key are replaced, others added; it must be there.
    Upsert,
}

/// What a file can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Csv,
    Ndjson,
    Json,
    Parquet,
}

/// What stands before the decimals of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalMark {
    /// `1234.5`
    #[default]
    Point,
    /// `1234,5` or `1.234,5`
    Comma,
}

/// What happens to rows that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRows {
    /// The file is refused.
    #[default]
    Fail,
    /// They are set aside.
    Reject,
}

/// Why columns that look like numbers or dates are text, by their SQL names.
pub type Notes = BTreeMap<String, String>;

/// What became of an upload.
#[derive(Clone, Debug, PartialEq)]
pub enum Uploaded {
    /// A new dataset.
    Created(Arc<Table>, Notes),
    /// A new version of one.
    Updated(Arc<Table>, Notes),
    /// It goes on as a job.
    Job(Box<Job>),
}

/// Limits and times of uploads.
#[derive(Clone, Debug)]
pub struct UploadsConfig {
    /// Bytes of one file as sent.
    pub file_bytes: u64,
    /// Time of the conversion.
    pub task: Duration,
    /// Time a caller waits before the upload becomes a job.
    pub wait: Duration,
    /// Time a caller waits for a worker.
    pub queue: Duration,
    /// Lease of a running job.
    pub lease: Duration,
    pub caps: DecodeCaps,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        Self {
            file_bytes: 5 << 30,
            task: Duration::from_secs(600),
            wait: Duration::from_secs(10),
            queue: Duration::from_secs(60),
            lease: Duration::from_secs(60),
            caps: DecodeCaps::default(),
        }
    }
}

/// What a workspace may still store; asked before a file is received and again when its size is known.
#[async_trait]
pub trait Quota: Send + Sync {
    /// Errors: [`Error::QuotaExceeded`] with the limit's name.
    async fn admit(&self, workspace: WorkspaceId, bytes: u64) -> Result<(), Error>;
}

/// Receives files and makes datasets of them. Cheap to clone.
#[derive(Clone)]
pub struct Uploads {
    publisher: Publisher,
    pool: worker::Pool,
    config: Arc<UploadsConfig>,
    quota: Option<Arc<dyn Quota>>,
    /// Raw objects that somebody of this process still needs.
    live: Arc<Mutex<HashSet<String>>>,
}

impl Uploads {
    pub fn new(publisher: Publisher, pool: worker::Pool, config: UploadsConfig) -> Self {
        Self { publisher, pool, config: Arc::new(config), quota: None, live: Arc::default() }
    }

    /// The same with limits of what a workspace may store.
    #[must_use]
    pub fn within(self, quota: Arc<dyn Quota>) -> Self {
        Self { quota: Some(quota), ..self }
    }

    pub fn config(&self) -> &UploadsConfig {
        &self.config
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Whether a raw object is still needed by this process.
    pub fn is_live(&self, path: &str) -> bool {
        self.live.lock().contains(path)
    }
}
