//! Why a question got no answer. No HTTP in here: `api` maps each [`QueryError::code`] to its status.

use std::sync::Arc;

/// One reason for each thing a caller can do about it. Cheap to clone: a failed fill is told to all who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// Not there, or not the caller's to see: both in the same words.
    #[error("no table `{name}`{hint}")]
    UnknownTable {
        name: String,
        /// What it may have meant among the caller's own: a sentence, or nothing.
        hint: String,
    },
    /// A stored analysis that no run has filled; `run` is the last one: job, status, problem.
    #[error("{detail}")]
    NoResult { detail: String, run: Option<serde_json::Value>, retry_after_secs: Option<u64> },
    #[error("no region `{region}`{hint}")]
    UnknownRegion {
        region: String,
        /// What it may have meant among the regions of that moment: a sentence, or nothing.
        hint: String,
    },
    #[error("{detail}")]
    InvalidParameter { name: String, detail: String },
    #[error("no such parameter or column: `{name}`")]
    UnknownParameter { name: String },
    /// Not of this question, of somebody else, bent or too old: all in the same words.
    #[error("`cursor` is none that an answer to this question gave within 24 hours; begin again without it")]
    InvalidCursor,
    #[error("{detail}")]
    InvalidPeriod { detail: String },
    #[error("the tables are not kept as far back as {as_of}")]
    AsOfExpired { as_of: String },
    /// More rows, bytes or regions than one answer may have.
    #[error("{detail}")]
    TooLarge { detail: String },
    #[error("views nest deeper than {depth} levels")]
    TooDeep { depth: usize },
    /// The worker looked at the caller's statement and refused it; `code` is a stable problem code.
    #[error("{detail}")]
    Refused { code: String, detail: String, errors: Vec<serde_json::Value> },
    /// No worker was free in time.
    #[error("too many queries are running; try again in {retry_after_secs} s")]
    Busy { retry_after_secs: u64 },
    #[error("the query took longer than {limit_secs} s")]
    Timeout { limit_secs: u64 },
    #[error("the lake cannot be read now")]
    Lake(#[source] Arc<dyn std::error::Error + Send + Sync>),
    #[error("the catalog cannot be read now")]
    Catalog(#[source] Arc<dyn std::error::Error + Send + Sync>),
    #[error("the engine failed")]
    Engine(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl QueryError {
    /// The stable problem code (`openapi/problems.md`) of this error.
    pub fn code(&self) -> &str {
        match self {
            Self::UnknownTable { .. } => "unknown-table",
            Self::NoResult { .. } => "conflict",
            Self::UnknownRegion { .. } => "unknown-region",
            Self::InvalidParameter { .. } => "invalid-parameter",
            Self::UnknownParameter { .. } => "unknown-parameter",
            Self::InvalidCursor => "invalid-cursor",
            Self::InvalidPeriod { .. } => "invalid-period",
            Self::AsOfExpired { .. } => "as-of-expired",
            Self::TooLarge { .. } => "query-too-large",
            Self::TooDeep { .. } => "query-too-complex",
            Self::Refused { code, .. } => code,
            Self::Busy { .. } => "busy",
            Self::Timeout { .. } => "query-timeout",
            Self::Lake(_) | Self::Catalog(_) => "lake-unavailable",
            Self::Engine(_) => "internal",
        }
    }

    /// Entries for the problem's `errors[]`: parameter or column, and what is wrong with it.
    pub fn errors(&self) -> Vec<serde_json::Value> {
        match self {
            Self::Refused { errors, .. } => errors.clone(),
            Self::NoResult { run, .. } => run.iter().cloned().collect(),
            Self::InvalidParameter { name, detail } => {
                vec![serde_json::json!({"parameter": name, "reason": detail})]
            }
            Self::UnknownParameter { name } => {
                vec![serde_json::json!({"parameter": name, "reason": "unknown"})]
            }
            _ => Vec::new(),
        }
    }

    /// Seconds after which trying again makes sense.
    pub fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::Busy { retry_after_secs } => Some(*retry_after_secs),
            Self::NoResult { retry_after_secs, .. } => *retry_after_secs,
            Self::Lake(_) | Self::Catalog(_) => Some(1),
            _ => None,
        }
    }

    /// No such table, and nothing that it may have meant.
    pub(crate) fn unknown_table(name: impl ToString) -> Self {
        Self::UnknownTable { name: name.to_string(), hint: String::new() }
    }

    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::InvalidParameter { name: name.into(), detail: detail.into() }
    }

    pub(crate) fn engine(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Engine(Arc::new(cause))
    }

    pub(crate) fn lake(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Lake(Arc::new(cause))
    }

    pub(crate) fn catalog(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Catalog(Arc::new(cause))
    }
}

/// A catalog's error as the question's: `at` is the moment that was asked for.
pub(crate) fn of_catalog(error: catalog::Error, at: chrono::DateTime<chrono::Utc>) -> QueryError {
    match error {
        catalog::Error::AsOfExpired { .. } => QueryError::AsOfExpired { as_of: at.to_rfc3339() },
        other => QueryError::catalog(other),
    }
}

/// A snapshot's error as the question's.
pub(crate) fn of_snapshot(error: lake::Error) -> QueryError {
    match error {
        lake::Error::VersionGone { .. } => {
            QueryError::AsOfExpired { as_of: "the version asked for".to_owned() }
        }
        other => QueryError::lake(other),
    }
}
