//! Why the lake gave no answer, named for what the caller can do.

use std::error::Error as StdError;
use std::io;

use crate::Version;

type Source = Box<dyn StdError + Send + Sync>;

/// A failed read or write of the lake. No paths or keys in the texts a caller may see: they are in the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such table or object.
    #[error("nothing is stored there")]
    NotFound,
    /// The version was cleaned up, or never existed: `as-of-expired`.
    #[error("version {version} is no longer kept")]
    VersionGone { version: Version },
    /// A table of another schema exists at the location.
    #[error("a table of another shape exists already")]
    Exists,
    /// Stored bytes do not match their checksum: 503, this table only.
    #[error("stored data is damaged")]
    Corrupt { path: String },
    /// The disk or the bucket's quota is full: 507.
    #[error("the storage is full")]
    StorageFull,
    /// The store does not answer: 503, try again.
    #[error("the storage does not answer")]
    Unavailable(#[source] Source),
    /// A table feature or a type that we do not read.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The store is not usable as configured; refused at start.
    #[error("storage configuration: {0}")]
    Misconfigured(String),
    /// Ours to mend.
    #[error("the lake failed")]
    Internal(#[source] Source),
}

impl Error {
    pub(crate) fn internal(source: impl Into<Source>) -> Self {
        Self::Internal(source.into())
    }

    /// Whether the same call may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::StorageFull)
    }
}

/// Why a commit has no new version.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another commit changed what this one had read or removes: take a fresh snapshot and try again.
    #[error("another change came first, at version {version}")]
    Conflict { version: Version },
    /// The application transaction was already applied: there is nothing to do.
    #[error("transaction {app} {number} is already part of version {version}")]
    Repeated { app: String, number: i64, version: Version },
    /// It may or may not be written: look with `find_commit` before anything else.
    #[error("the outcome of the commit is not known")]
    Unknown(#[source] Error),
    /// Nothing was written.
    #[error(transparent)]
    Lake(#[from] Error),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match &error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            _ => classify(Box::new(error)),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            _ => classify(Box::new(error)),
        }
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        classify(Box::new(error))
    }
}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        classify(Box::new(error))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        classify(Box::new(error))
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

/// Looks through the chain of causes, because a full disk arrives wrapped three times.
fn classify(error: Source) -> Error {
    if let Some(path) = corrupt_path(error.as_ref()) {
        return Error::Corrupt { path };
    }
    if causes(error.as_ref()).any(is_full) {
        return Error::StorageFull;
    }
    if causes(error.as_ref()).any(|cause| cause.is::<object_store::Error>() || cause.is::<io::Error>()) {
        return Error::Unavailable(error);
    }
    Error::Internal(error)
}

/// The file whose bytes did not match their checksum, if that is behind `error` (also under a `DataFusionError`).
pub fn corrupt_path(error: &(dyn StdError + 'static)) -> Option<String> {
    let typed = causes(error).find_map(|cause| {
        let inner = cause.downcast_ref::<crate::verify::Mismatch>()?;
        Some(inner.path.clone())
    });
    // the engine makes text of an error that it meets in a footer
    typed.or_else(|| crate::verify::Mismatch::find(&error.to_string()).map(|found| found.path))
}

fn is_full(cause: &(dyn StdError + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    })
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn StdError + 'static)| {
        let cause: &'a (dyn StdError + 'static) = *cause;
        // an io::Error hides its payload from `source()` unless it is asked for it
        cause
            .downcast_ref::<io::Error>()
            .and_then(|io| io.get_ref())
            .map(|inner| inner as &(dyn StdError + 'static))
            .or_else(|| cause.source())
    })
}
