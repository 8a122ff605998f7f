//! Why the catalog gave no answer, named for what the caller can do about it.

use chrono::{DateTime, Utc};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Choose another name.
    #[error("the name `{name}` is taken")]
    NameTaken { name: String },
    /// Ask for a later moment.
    #[error("tables are kept as they were since {horizon}, not longer")]
    AsOfExpired { horizon: DateTime<Utc> },
    /// The table is gone, or was deleted while the write ran: clear what was written.
    #[error("the table is gone")]
    TableGone,
    /// The intent was abandoned before: nothing of it may become visible.
    #[error("the write was abandoned")]
    Abandoned,
    /// A published batch cannot begin again.
    #[error("batch {n} of `{source_name}` is published")]
    BatchPublished { source_name: String, n: i64 },
    /// 503 or 500, as [`database::Error`] says.
    #[error("the catalog cannot be read or written")]
    Database(#[from] database::Error),
}
