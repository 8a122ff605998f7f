//! Why a run has no result, named for what the caller can do.

use engine::QueryError;
use serde_json::{Value, json};
use worker::{Admission, Refusal, TaskError};

use crate::publish;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no analysis of kind table is called `{0}`")]
    Unknown(String),
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The statement cannot be run: code, what is wrong, where.
    #[error("{detail}")]
    Refused { code: String, detail: String, errors: Vec<Value> },
    #[error("all workers are busy")]
    Busy,
    #[error("the storage is full")]
    StorageFull,
    #[error("the result could not be stored")]
    Publish(#[source] publish::Error),
    #[error("the catalog cannot be reached now")]
    Catalog(#[from] catalog::Error),
    #[error("the run failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(super) fn internal(error: serde_json::Error) -> Self {
        Self::Internal(Box::new(error))
    }

    /// Stable code of the problem.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Unknown(_) => "unknown-dataset",
            Self::Query(error) => error.code(),
            Self::Refused { code, .. } => code,
            Self::Busy | Self::Catalog(_) => "busy",
            Self::StorageFull => "storage-full",
            Self::Publish(publish::Error::Lake(_) | publish::Error::Catalog(_)) => "lake-unavailable",
            Self::Publish(publish::Error::Conflict | publish::Error::TableGone) => "conflict",
            Self::Publish(_) | Self::Internal(_) => "internal",
        }
    }

    /// Whether the same run may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy
            | Self::Query(QueryError::Busy { .. } | QueryError::Lake(_) | QueryError::Catalog(_)) => true,
            Self::Publish(error) => error.is_transient(),
            Self::Catalog(catalog::Error::Database(error)) => error.is_transient(),
            _ => false,
        }
    }

    /// The problem of a failed run; the gateway adds what its code says.
    #[must_use]
    pub fn problem(&self) -> Value {
        let errors = match self {
            Self::Refused { errors, .. } => errors.clone(),
            Self::Query(error) => error.errors(),
            _ => Vec::new(),
        };
        if self.code() == "internal" {
            tracing::error!(error = ?self, "a run failed");
        }
        json!({ "code": self.code(), "detail": self.to_string(), "errors": errors })
    }
}

impl From<publish::Error> for Error {
    fn from(error: publish::Error) -> Self {
        match error {
            publish::Error::StorageFull => Self::StorageFull,
            error => Self::Publish(error),
        }
    }
}

impl From<Admission> for Error {
    fn from(_: Admission) -> Self {
        Self::Busy
    }
}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Self {
        let refused =
            |code: &str, detail| Self::Refused { code: code.to_owned(), detail, errors: Vec::new() };
        match error {
            TaskError::Died(death) => {
                refused("query-too-large", format!("the statement was stopped: {}", death.limit()))
            }
            TaskError::Deadline => {
                refused("query-timeout", "the statement takes longer than a run may".to_owned())
            }
            TaskError::Refused(Refusal { code, .. }) if code == "storage-full" => Self::StorageFull,
            TaskError::Refused(Refusal { code, detail, errors }) => Self::Refused { code, detail, errors },
            TaskError::Io(error) => Self::Internal(Box::new(error)),
        }
    }
}
