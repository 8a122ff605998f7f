//! Why not.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::keys::MAX_LIVE_KEYS;
use crate::signing::KeyError;

/// Why a caller does not come in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("a credential is needed")]
    Missing,
    /// One word for unknown, wrong, expired, revoked and suspended: a guesser learns nothing from it.
    #[error("the credential is not valid")]
    Invalid,
    #[error("too many failed credentials")]
    TooManyFailures { retry_after_secs: u64 },
    /// The credential is not known here and the database cannot be asked; it may work in a moment.
    #[error("credentials cannot be checked now")]
    Unavailable(#[source] database::Error),
}

/// Why keys, customers or the audit could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the workspace name is taken")]
    SlugTaken,
    #[error("a name has 1 to 128 printable characters")]
    InvalidLabel,
    #[error("there is no such customer or workspace")]
    UnknownWorkspace,
    #[error("a key needs at least one scope")]
    NoScopes,
    #[error("the scopes asked for go beyond those of the key")]
    ScopesExceeded,
    #[error("the key would end before it begins")]
    AlreadyExpired,
    #[error(transparent)]
    SigningKey(#[from] KeyError),
    #[error("customers and keys cannot be read or written")]
    Database(#[from] database::Error),
}

/// Why a key is not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefusal {
    #[error("a key ends no later than the key that makes it: {}", end.to_rfc3339_opts(SecondsFormat::AutoSi, true))]
    OutlivesMaker { end: DateTime<Utc> },
    #[error("the key that makes it has ended")]
    MakerEnded,
    #[error("the workspace has {MAX_LIVE_KEYS} keys that work: revoke one first")]
    TooManyKeys,
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<database::Error> for KeyRefusal {
    fn from(error: database::Error) -> Self {
        Self::Other(error.into())
    }
}
