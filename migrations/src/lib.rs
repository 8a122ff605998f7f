//! The catalog database: SQLite by default, PostgreSQL for several nodes, one SQL text for both; and Redis, which nodes may share.
//!
//! ```text
//! on!       ─▶ Db ─┬─ Sqlite   ─ write: one connection, BEGIN IMMEDIATE ─┐
//! within!   ─▶ Tx ─┤           └ read: several, see the last commit ─────┴▶ one file, WAL
//! reading!  ─▶     └─ Postgres ─ one pool
//! ```
//! A statement is a `&'static str` with `$1` placeholders, expanded once for each database. Types that fit both:
//!
//! | Rust | SQLite (STRICT) | PostgreSQL |
//! |---|---|---|
//! | `Uuid` | BLOB | UUID |
//! | `DateTime<Utc>`, see [`instant`] | TEXT | TIMESTAMPTZ |
//! | `NaiveDate` | TEXT | DATE |
//! | `Json<T>` | TEXT | JSONB |
//! | `bool` | INTEGER | BOOLEAN |
//! | `i64` | INTEGER | BIGINT |
//! | `f64` | REAL | DOUBLE PRECISION |
//! | `String` | TEXT | TEXT |
//! | `Vec<u8>` | BLOB | BYTEA |
//!
//! Unique constraints are named `table_column_column` in PostgreSQL, which is what SQLite's message is turned into:
//! a caller names one constraint and means both. Absent on purpose: statements (they stand beside the types they fill).

mod connect;
mod error;
mod macros;
mod migrate;
#[cfg(test)]
mod parity;
mod redis;
mod run;
pub mod testing;
mod transaction;

use std::fmt;

use chrono::{DateTime, SubsecRound, Utc};
use sqlx::{PgPool, SqlitePool};

pub use connect::{DatabaseConfig, sqlite_pool};
pub use error::Error;
pub use migrate::MigrateError;
pub use redis::{InvalidRedisUrl, Redis};
pub use run::Run;
pub use sqlx;
pub use transaction::{Connection, Tx};

/// The database. Cheap to clone: all clones share the pools.
#[derive(Clone)]
pub enum Db {
    /// `write` holds one connection, so that writers wait in line in the process instead of failing on the file's lock.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// Which database it is; only for the few statements that must differ, and for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

impl Db {
    /// What the macros match on: takes `Db`, `&Db` and whatever derefs to it.
    #[doc(hidden)]
    pub fn of(db: &Db) -> &Db {
        db
    }

    pub fn kind(&self) -> Kind {
        match self {
            Db::Sqlite { .. } => Kind::Sqlite,
            Db::Postgres(_) => Kind::Postgres,
        }
    }

    /// Begins a transaction that may write; on SQLite it takes the writer's lock at once.
    ///
    /// Until it ends, everything must go through it: `on!` would wait for the one writer and fail as [`Error::Busy`].
    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(match self {
            // On the heap: the drivers' futures are 15 KB, and all that writes would carry them.
            Db::Sqlite { write, .. } => Tx::Sqlite(Box::pin(write.begin_with("BEGIN IMMEDIATE")).await?),
            Db::Postgres(pool) => Tx::Postgres(Box::pin(pool.begin()).await?),
        })
    }

    /// Is the database there? Errors: [`Error::Busy`], [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<(), Error> {
        reading!(self, |pool| sqlx::query("SELECT 1").run(pool)).map(drop)
    }

    /// Ends all connections, after those in use are given back.
    pub async fn close(&self) {
        match self {
            Db::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Db({:?})", self.kind())
    }
}

/// An instant as both databases keep it: PostgreSQL has microseconds, so finer parts are cut off.
pub fn instant(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(6)
}
