//! How the errors of the rooms below become problems: one place, so that a code means the same on every route.

use std::error::Error as _;

use auth::AuthError;
use engine::QueryError;
use ingest::upload;

use super::{Kind, Problem};

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::because(
                Kind::Unauthenticated,
                "send `Authorization: Bearer <key or token>` or `X-API-Key`",
            ),
            // One word for unknown, wrong, expired, revoked and suspended.
            AuthError::Invalid => Self::because(Kind::Unauthenticated, "the credential is not valid"),
            AuthError::TooManyFailures { retry_after_secs } => {
                Self::new(Kind::TooManyFailures).retry_after(retry_after_secs)
            }
            AuthError::Unavailable(source) => {
                Self::new(Kind::DatabaseUnavailable).caused_by(source).retry_after(2)
            }
        }
    }
}

impl From<auth::Error> for Problem {
    fn from(error: auth::Error) -> Self {
        let kind = match &error {
            auth::Error::SlugTaken => Kind::NameTaken,
            auth::Error::InvalidLabel | auth::Error::NoScopes | auth::Error::AlreadyExpired => {
                Kind::InvalidBody
            }
            auth::Error::UnknownWorkspace => Kind::UnknownCustomer,
            auth::Error::ScopesExceeded => Kind::Forbidden,
            auth::Error::SigningKey(_) => return Self::internal(error),
            auth::Error::Database(_) => match error {
                auth::Error::Database(error) => return error.into(),
                error => return Self::internal(error),
            },
        };
        Self::because(kind, error.to_string())
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let mut problem =
            Self::coded(error.code(), error.to_string(), Kind::Unprocessable).with_errors(error.errors());
        if let Some(seconds) = error.retry_after_secs() {
            problem = problem.retry_after(seconds);
        }
        match error.source() {
            Some(_) => problem.caused_by(error),
            None => problem,
        }
    }
}

impl From<upload::Error> for Problem {
    fn from(error: upload::Error) -> Self {
        let mut problem =
            Self::coded(error.code(), error.to_string(), Kind::Unprocessable).with_errors(error.errors());
        if let Some(seconds) = error.retry_after() {
            problem = problem.retry_after(seconds);
        }
        match error.source() {
            Some(_) => problem.caused_by(error),
            None => problem,
        }
    }
}

impl From<catalog::Error> for Problem {
    fn from(error: catalog::Error) -> Self {
        match error {
            catalog::Error::NameTaken { .. } => Self::because(Kind::NameTaken, error.to_string()),
            catalog::Error::AsOfExpired { .. } => Self::because(Kind::AsOfExpired, error.to_string()),
            catalog::Error::TableGone | catalog::Error::Abandoned | catalog::Error::BatchPublished { .. } => {
                Self::because(Kind::Conflict, error.to_string())
            }
            catalog::Error::Database(error) => error.into(),
        }
    }
}

impl From<database::Error> for Problem {
    fn from(error: database::Error) -> Self {
        match error {
            database::Error::Full(_) => Self::new(Kind::StorageFull).caused_by(error),
            _ if error.is_transient() => Self::new(Kind::DatabaseUnavailable).caused_by(error),
            _ => Self::internal(error),
        }
    }
}

impl From<identity::NameError> for Problem {
    fn from(error: identity::NameError) -> Self {
        let fault =
            serde_json::json!({"value": error.given, "reason": error.reason, "suggestion": error.suggestion});
        Self::because(Kind::InvalidName, error.to_string()).with_errors(vec![fault])
    }
}
