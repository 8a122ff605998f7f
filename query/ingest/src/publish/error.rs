//! Why a write did not become visible, named for what the writer can do.

use lake::CommitError;

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others changed the same rows again and again, or the files this write had read.
    #[error("another write came first")]
    Conflict,
    /// A key stands twice in the new rows of a write that must be unique, or is null.
    #[error("the key ({key}) {reason}")]
    Key { key: String, reason: &'static str },
    /// The rows do not fit the table's columns.
    #[error("the rows do not fit the table: {0}")]
    Schema(String),
    /// 507: make room.
    #[error("the storage is full")]
    StorageFull,
    /// The table was deleted meanwhile, or the write cleared by another node: nothing became visible.
    #[error("the table is gone")]
    TableGone,
    /// 503: nothing became visible, or it will when the lake answers again.
    #[error("the lake cannot be written now")]
    Lake(#[source] lake::Error),
    /// 503: the commit is in the log and becomes visible with the next write or minute.
    #[error("the catalog cannot be reached now")]
    Catalog(#[source] catalog::Error),
    /// The rows' source failed.
    #[error("the rows could not be read")]
    Rows(#[source] Source),
}

impl Error {
    /// Whether the same write may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Conflict | Self::StorageFull => true,
            Self::Lake(error) => error.is_transient(),
            Self::Catalog(catalog::Error::Database(error)) => error.is_transient(),
            _ => false,
        }
    }
}

impl From<lake::Error> for Error {
    fn from(error: lake::Error) -> Self {
        match error {
            lake::Error::StorageFull => Self::StorageFull,
            lake::Error::Unsupported(what) => Self::Schema(what),
            error => Self::Lake(error),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } | CommitError::Repeated { .. } => Self::Conflict,
            CommitError::Unknown(error) | CommitError::Lake(error) => error.into(),
        }
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        match error {
            catalog::Error::TableGone | catalog::Error::Abandoned => Self::TableGone,
            catalog::Error::Database(database::Error::Full(_)) => Self::StorageFull,
            error => Self::Catalog(error),
        }
    }
}

impl Error {
    /// What reading or writing rows met: the store, or the rows themselves.
    fn met(error: lake::Error) -> Self {
        match error {
            lake::Error::Internal(source) => Self::Rows(source),
            error => error.into(),
        }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::met(error.into())
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::met(error.into())
    }
}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::met(error.into())
    }
}
