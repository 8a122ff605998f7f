//! Why an upload gave no dataset (query/ingest/src/upload/error.rs); no HTTP in here.

use serde_json::Value;

/// What a caller can do about a failed upload. Each has a stable code of `openapi/problems.md`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "a dataset or analysis `{0}` exists already; use mode append, replace or upsert, or another name"
    )]
    NameTaken(String),
    #[error("no dataset `{0}`")]
    UnknownDataset(String),
    /// The file or its options are refused: code, what is wrong, and where (row, line, column, value, reason).
    #[error("{detail}")]
    Refused { code: String, detail: String, errors: Vec<Value> },
    #[error("the file is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("the body ended before it was complete")]
    Interrupted,
    #[error("the body stopped arriving")]
    Stalled,
    #[error("the digest of the received bytes is not the one announced")]
    DigestMismatch,
    #[error("there is no room left to store this")]
    StorageFull,
    #[error("the workspace's limit of {limit} is reached")]
    QuotaExceeded { limit: &'static str, retry_after_secs: u64 },
    #[error("all workers are busy")]
    Busy { retry_after_secs: u64 },
    #[error("this Idempotency-Key was used for another upload")]
    IdempotencyMismatch,
    #[error("an upload with this Idempotency-Key is still running")]
    IdempotencyInFlight,
    #[error("another write to this dataset came first")]
    Conflict,
    #[error("the upload was cancelled")]
    Cancelled,
    #[error("the lake cannot be written now")]
    Lake(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the catalog cannot be reached now")]
    Catalog(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the upload failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Stable code of the problem.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NameTaken(_) => "name-taken",
            Self::UnknownDataset(_) => "unknown-dataset",
            Self::Refused { code, .. } => code,
            Self::TooLarge { .. } => "payload-too-large",
            Self::Interrupted | Self::DigestMismatch => "invalid-body",
            Self::Stalled => "request-timeout",
            Self::StorageFull => "storage-full",
            Self::QuotaExceeded { .. } => "rate-limited",
            Self::Busy { .. } => "busy",
            Self::IdempotencyMismatch => "idempotency-mismatch",
            Self::IdempotencyInFlight => "idempotency-in-flight",
            Self::Conflict | Self::Cancelled => "conflict",
            Self::Lake(_) => "lake-unavailable",
            Self::Catalog(_) => "busy",
            Self::Internal(_) => "internal",
        }
    }

    /// One entry a fault: `row` (of the data, from 1), `line` (of the file), `column`, `value` (cut to 200 bytes), `reason`.
    #[must_use]
    pub fn errors(&self) -> Vec<Value> {
        match self {
            Self::Refused { errors, .. } => errors.clone(),
            _ => Vec::new(),
        }
    }

    /// Seconds after which trying again makes sense.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::QuotaExceeded { retry_after_secs, .. } | Self::Busy { retry_after_secs } => {
                Some(*retry_after_secs)
            }
            Self::Lake(_) | Self::Catalog(_) => Some(2),
            Self::IdempotencyInFlight => Some(1),
            _ => None,
        }
    }
}

impl From<lake::Error> for Error {
    fn from(error: lake::Error) -> Self {
        match error {
            lake::Error::StorageFull => Self::StorageFull,
            error => Self::Lake(Box::new(error)),
        }
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        match error {
            catalog::Error::NameTaken { name } => Self::NameTaken(name),
            catalog::Error::TableGone | catalog::Error::Abandoned => Self::Conflict,
            catalog::Error::Database(database::Error::Full(_)) => Self::StorageFull,
            error => Self::Catalog(Box::new(error)),
        }
    }
}

impl From<crate::publish::Error> for Error {
    fn from(error: crate::publish::Error) -> Self {
        use crate::publish::Error as Write;
        match error {
            Write::Conflict | Write::TableGone => Self::Conflict,
            Write::StorageFull => Self::StorageFull,
            Write::Lake(error) => error.into(),
            Write::Catalog(error) => error.into(),
            Write::Key { .. } | Write::Schema(_) => Self::Refused {
                code: "file-malformed".to_owned(),
                detail: error.to_string(),
                errors: Vec::new(),
            },
            Write::Rows(source) => Self::Internal(source),
        }
    }
}
